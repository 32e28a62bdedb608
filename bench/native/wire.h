/* MQTT 3.1.1 packets as the bench needs them: encoded once, decoded no further than their fixed headers. */
#ifndef WIRE_H
#define WIRE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK };

static inline uint64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static inline void *grown(void *old, size_t bytes) {
  void *memory = realloc(old, bytes);
  if (memory == NULL && bytes > 0) {
    fputs("out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

/* Fixed header (section 2.2); returns its length. */
static inline size_t put_header(uint8_t *to, uint8_t first, size_t remaining) {
  size_t n = 0;
  to[n++] = first;
  do {
    uint8_t low = remaining % 128;
    remaining /= 128;
    to[n++] = remaining > 0 ? low | 0x80 : low;
  } while (remaining > 0);
  return n;
}

static inline size_t put_u16(uint8_t *to, unsigned value) {
  to[0] = (uint8_t)(value >> 8);
  to[1] = (uint8_t)value;
  return 2;
}

static inline unsigned get_u16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

static inline size_t put_text(uint8_t *to, const char *text) {
  size_t length = strlen(text);
  put_u16(to, (unsigned)length);
  memcpy(to + 2, text, length);
  return length + 2;
}

/* Size of the packet at `at`, of which `bytes` are there: 0 while its fixed header is incomplete. `body` is where the rest starts. */
static inline size_t packet_size(const uint8_t *at, size_t bytes, size_t *body) {
  size_t length = 0;
  unsigned shift = 0;
  for (size_t i = 1; i < bytes && i <= 4; i++, shift += 7) {
    length |= (size_t)(at[i] & 0x7f) << shift;
    if (at[i] < 0x80) {
      *body = i + 1;
      return i + 1 + length;
    }
  }
  return 0;
}

/* A packet of only a packet identifier: PUBACK, PUBREC, PUBREL, PUBCOMP. */
static inline size_t put_ack(uint8_t *to, int type, unsigned packet_id) {
  to[0] = (uint8_t)(type << 4 | (type == PUBREL ? 2 : 0));
  to[1] = 2;
  return 2 + put_u16(to + 2, packet_id);
}
#endif
