/*
 * The load generator: all connections of a run in one thread over epoll. Options are words NAME=NUMBER, see `options`; what it reports are
 * lines of JSON on standard output:
 *
 *   opened     all connections stand, subscriptions are granted; how long that took
 *   begin, end the measured window: what was delivered so far (without subscribers: acknowledged, or with QoS 0 sent)
 *   done       counts over the whole run, after what was under way has arrived or nothing came for a second
 *   failed     why there is no result
 *
 * A publisher sends by one of: `window` packets outstanding (QoS 1 and 2), `credit` messages under way over all publishers, `rate` per second,
 * or a flood of `batch` packets per write. Publishers take turns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wire.h"
#ifdef WITH_TLS
#include <openssl/ssl.h>
static SSL_CTX *tls_context;
#endif

#define READ_BYTES (1 << 18)
#define EVENTS 512
#define CONNECTING_MAX 256
#define FILTERS_PER_SUBSCRIBE 100
#define SECOND 1000000000ull
/* A collector that nothing more reaches for so long has what it gets. */
#define QUIET_MAX (5 * SECOND)
#define CREDIT_LOST_NS (SECOND / 4)

static struct {
  long port, pubs, subs, topics, filters, shape, copies, pubqos, subqos, window, batch, credit, rate, count, payload, retain, clean, warmup, ms,
      websocket, tls, latency, mode, expect, resumed, run, hot;
} o = {.topics = 1, .batch = 1, .payload = 64, .clean = 1, .warmup = 500, .ms = 1500, .copies = 1};

/* What `mode` says. */
enum { MODE_RUN, MODE_IDLE, MODE_COLLECT };
/* What `shape` says of subscriptions: filter k is topic k; all topics; topic k in turn exactly, with + and with #. */
enum { SHAPE_OWN, SHAPE_ALL, SHAPE_MIXED };

static const struct { const char *name; long *value; } options[] = {
    {"port", &o.port},         {"pubs", &o.pubs},       {"subs", &o.subs},       {"topics", &o.topics},   {"filters", &o.filters},
    {"shape", &o.shape},       {"copies", &o.copies},   {"pubqos", &o.pubqos},   {"subqos", &o.subqos},   {"window", &o.window},
    {"batch", &o.batch},       {"credit", &o.credit},   {"rate", &o.rate},       {"count", &o.count},     {"payload", &o.payload},
    {"retain", &o.retain},     {"clean", &o.clean},     {"warmup", &o.warmup},   {"ms", &o.ms},           {"websocket", &o.websocket},
    {"tls", &o.tls},           {"latency", &o.latency}, {"mode", &o.mode},       {"expect", &o.expect},   {"resumed", &o.resumed},
    {"run", &o.run},           {"hot", &o.hot}};

typedef enum { UPGRADING, GREETING, SUBSCRIBING, READY } State;

typedef struct {
  int fd;
  State state;
  bool is_publisher, is_blocked;
  uint32_t index, granted;
  unsigned next_id;
  uint64_t turn; /* messages sent: says which topic is next */
  uint8_t *out;  /* not yet taken by the system: out[out_at, out_end) */
  size_t out_at, out_end, out_room;
  uint8_t *held; /* the start of a packet that has not arrived whole */
  size_t held_end, held_room;
  uint8_t *fixed; /* a flood's write, encoded once */
  uint64_t frame_left; /* of a WebSocket frame: payload bytes still to come */
  uint8_t head[14];
  size_t head_end;
  void *tls;
} Connection;

static Connection *connections;
static long connection_count, opened_count, ready_count, next_sender;
static int poller, ticker = -1;
static uint64_t sent, acknowledged, received, redelivered, unexpected, last_arrival, started_at;
static bool is_publishing, is_window;
static uint8_t **frames, *shared;
static size_t frame_bytes, frame_prefix;
static uint32_t *samples;
static size_t sample_count, sample_room;

static void failed(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  fputs("{\"event\":\"failed\",\"reason\":\"", stdout);
  vprintf(format, rest);
  puts("\"}");
  va_end(rest);
  fflush(stdout);
  exit(1);
}

/* --- bytes out ------------------------------------------------------------------------------------------------------------------------- */

static ssize_t send_bytes(Connection *c, const uint8_t *bytes, size_t count) {
#ifdef WITH_TLS
  if (c->tls != NULL) {
    int n = SSL_write(c->tls, bytes, (int)count);
    if (n > 0) return n;
    errno = SSL_get_error(c->tls, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
  }
#endif
  return send(c->fd, bytes, count, MSG_NOSIGNAL);
}

static void watch(Connection *c) {
  struct epoll_event event = {.events = EPOLLIN | (c->is_blocked ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void flush(Connection *c) {
  while (c->out_at < c->out_end) {
    ssize_t n = send_bytes(c, c->out + c->out_at, c->out_end - c->out_at);
    if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
      if (!c->is_blocked) c->is_blocked = true, watch(c);
      return;
    }
    if (n < 0) failed("connection %u lost while writing: %s", c->index, strerror(errno));
    c->out_at += (size_t)n;
  }
  c->out_at = c->out_end = 0;
  if (c->is_blocked) c->is_blocked = false, watch(c);
}

/* Room for `bytes` more at the end of what waits; the caller adds what it used. */
static uint8_t *room(Connection *c, size_t bytes) {
  if (c->out_end + bytes > c->out_room) {
    c->out_room = (c->out_end + bytes) * 2;
    c->out = grown(c->out, c->out_room);
  }
  return c->out + c->out_end;
}

/* A client's WebSocket frame, with a mask of zeros: the payload stays as it is. */
static size_t put_frame_header(uint8_t *to, size_t length) {
  size_t n = 0;
  to[n++] = 0x82;
  if (length < 126) to[n++] = (uint8_t)(0x80 | length);
  else if (length < 65536) to[n++] = 0x80 | 126, n += put_u16(to + n, (unsigned)length);
  else {
    to[n++] = 0x80 | 127;
    memset(to + n, 0, 4);
    put_u16(to + n + 4, (unsigned)(length >> 16));
    put_u16(to + n + 6, (unsigned)length & 0xffff);
    n += 8;
  }
  memset(to + n, 0, 4);
  return n + 4;
}

static void append(Connection *c, const uint8_t *bytes, size_t count) {
  uint8_t *to = room(c, count + 14);
  size_t header = o.websocket && c->state != UPGRADING ? put_frame_header(to, count) : 0;
  memcpy(to + header, bytes, count);
  c->out_end += header + count;
}

/* --- publishing ------------------------------------------------------------------------------------------------------------------------ */

static void encode_frames(void) {
  frames = grown(NULL, (size_t)o.topics * sizeof *frames);
  uint8_t *payload = grown(NULL, (size_t)o.payload);
  for (long i = 0; i < o.payload; i++) payload[i] = (uint8_t)('a' + i % 26);
  for (long t = 0; t < o.topics; t++) {
    char topic[32];
    snprintf(topic, sizeof topic, "b/%06ld/t", t);
    size_t rest = strlen(topic) + 2 + (o.pubqos > 0 ? 2 : 0) + (size_t)o.payload;
    uint8_t *frame = frames[t] = grown(NULL, rest + 5);
    size_t n = put_header(frame, (uint8_t)(PUBLISH << 4 | o.pubqos << 1 | o.retain), rest);
    n += put_text(frame + n, topic);
    frame_prefix = n;
    if (o.pubqos > 0) n += put_u16(frame + n, 0);
    memcpy(frame + n, payload, (size_t)o.payload);
    frame_bytes = n + (size_t)o.payload;
  }
  free(payload);
}

static bool may_send(void) { return is_publishing && (o.count == 0 || sent < (uint64_t)o.count); }

/* One message with this packet identifier into what waits. */
static void publish(Connection *c, unsigned packet_id) {
  uint64_t topic = (c->index + c->turn++ * (uint64_t)o.pubs) % (uint64_t)(o.hot > 0 ? o.hot : o.topics);
  uint8_t *to = room(c, frame_bytes + 14);
  if (o.websocket) {
    size_t header = put_frame_header(to, frame_bytes);
    to += header;
    c->out_end += header;
  }
  memcpy(to, frames[topic], frame_bytes);
  if (o.pubqos > 0) put_u16(to + frame_prefix, packet_id);
  if (o.latency) {
    uint64_t at = now_ns();
    memcpy(to + frame_bytes - o.payload, &at, sizeof at);
  }
  c->out_end += frame_bytes;
  sent++;
}

static unsigned take_id(Connection *c) {
  c->next_id = c->next_id % 65535 + 1;
  return c->next_id;
}

static Connection *next_publisher(void) {
  for (long tried = 0; tried < o.pubs; tried++) {
    Connection *c = &connections[o.subs + next_sender];
    next_sender = (next_sender + 1) % o.pubs;
    if (!c->is_blocked) return c;
  }
  return NULL;
}

static void send_one(void) {
  Connection *c = next_publisher();
  if (c == NULL) return;
  publish(c, o.pubqos > 0 ? take_id(c) : 0);
  flush(c);
}

static void flood(void) {
  for (long p = 0; p < o.pubs && may_send(); p++) {
    Connection *c = &connections[o.subs + p];
    if (c->is_blocked) continue;
    if (o.batch > 1 && o.topics <= o.pubs && !o.websocket) {
      size_t bytes = frame_bytes * (size_t)o.batch;
      if (c->fixed == NULL) {
        c->fixed = grown(NULL, bytes);
        for (long i = 0; i < o.batch; i++) memcpy(c->fixed + (size_t)i * frame_bytes, frames[p % o.topics], frame_bytes);
      }
      ssize_t n = send_bytes(c, c->fixed, bytes);
      if (n < 0 && errno != EAGAIN) failed("publisher %ld lost: %s", p, strerror(errno));
      size_t taken = n < 0 ? 0 : (size_t)n;
      if (taken > 0) sent += (uint64_t)o.batch;
      if (taken == 0) c->is_blocked = true, watch(c);
      else if (taken < bytes) append(c, c->fixed + taken, bytes - taken), flush(c);
    } else {
      for (long i = 0; i < o.batch; i++) publish(c, 0);
      flush(c);
    }
  }
}

static void publish_due(void) {
  static uint64_t credited, stalled_at, seen;
  if (!may_send() || o.window > 0) return;
  if (o.rate > 0) {
    uint64_t due = (uint64_t)((double)(now_ns() - started_at) * (double)o.rate / 1e9);
    for (uint64_t before = sent; sent < due && may_send(); before = sent) {
      send_one();
      if (sent == before) return;
    }
  } else if (o.credit > 0) {
    /* What a broker dropped must not end the run: after a while of silence it counts as arrived. */
    uint64_t come = o.subs > 0 ? received : acknowledged, now = now_ns();
    if (come != seen) seen = come, stalled_at = now;
    else if (now - stalled_at > CREDIT_LOST_NS) credited = sent * (uint64_t)o.copies - come, stalled_at = now;
    for (;;) {
      uint64_t back = come + credited, out = sent * (uint64_t)o.copies;
      if (out >= back + (uint64_t)(o.credit * o.copies)) return;
      uint64_t before = sent;
      send_one();
      if (sent == before) return;
    }
  } else flood();
}

/* --- packets in ------------------------------------------------------------------------------------------------------------------------ */

static void subscribe_more(Connection *c) {
  long per = (o.filters + o.subs - 1) / o.subs, first = (long)c->granted;
  long until = first + FILTERS_PER_SUBSCRIBE < per ? first + FILTERS_PER_SUBSCRIBE : per;
  uint8_t body[FILTERS_PER_SUBSCRIBE * 24 + 2], packet[sizeof body + 5];
  size_t n = put_u16(body, 1);
  for (long i = first; i < until; i++) {
    long k = i * o.subs + c->index;
    char filter[32];
    const char *end = o.shape != SHAPE_MIXED || k % 3 == 0 ? "t" : k % 3 == 1 ? "+" : "#";
    if (k >= o.filters) break;
    if (o.shape == SHAPE_ALL) snprintf(filter, sizeof filter, "b/#");
    else snprintf(filter, sizeof filter, "b/%06ld/%s", k % o.topics, end);
    n += put_text(body + n, filter);
    body[n++] = (uint8_t)o.subqos;
  }
  if (n == 2) { /* more subscribers than filters: this one has none left */
    c->state = READY, ready_count++;
    return;
  }
  size_t header = put_header(packet, SUBSCRIBE << 4 | 2, n);
  memcpy(packet + header, body, n);
  c->state = SUBSCRIBING;
  append(c, packet, header + n);
}

static void on_handshake(Connection *c, const uint8_t *packet, size_t size, int type) {
  if (c->state == GREETING && type == CONNACK && size == 4) {
    if (packet[3] != 0) failed("connection refused with code %d", packet[3]);
    if (c->is_publisher || o.filters == 0 || (o.resumed && (packet[2] & 1))) c->state = READY, ready_count++;
    else if (o.resumed) failed("the session is gone");
    else subscribe_more(c);
  } else if (c->state == SUBSCRIBING && type == SUBACK) {
    size_t body = 0;
    packet_size(packet, size, &body);
    for (size_t i = body + 2; i < size; i++) {
      if (packet[i] != o.subqos) failed("subscription answered with %d instead of QoS %ld", packet[i], o.subqos);
      c->granted++;
    }
    if ((long)c->granted >= (o.filters + o.subs - 1) / o.subs) c->state = READY, ready_count++;
    else subscribe_more(c);
  } else if (type == PUBLISH) { /* a retained or waiting message may come before SUBACK */
  } else failed("packet of type %d in the handshake", type);
}

static void on_publish(Connection *c, const uint8_t *packet, size_t size, size_t body) {
  int qos = packet[0] >> 1 & 3;
  if (qos > o.subqos || size < (size_t)o.payload) {
    unexpected++;
    return;
  }
  received++;
  if (o.latency && is_window) {
    uint64_t at;
    memcpy(&at, packet + size - o.payload, sizeof at);
    if (sample_count < sample_room) samples[sample_count++] = (uint32_t)((now_ns() - at) / 1000);
  }
  if (qos == 0) return;
  if (packet[0] & 8) redelivered++;
  uint8_t ack[4];
  append(c, ack, put_ack(ack, qos == 1 ? PUBACK : PUBREC, get_u16(packet + body + 2 + get_u16(packet + body))));
}

static void on_packet(Connection *c, const uint8_t *packet, size_t size, size_t body) {
  int type = packet[0] >> 4;
  uint8_t ack[4];
  if (type == PUBLISH && !c->is_publisher) on_publish(c, packet, size, body);
  if (c->state < READY) {
    on_handshake(c, packet, size, type);
  } else if (type == PUBREL && !c->is_publisher) {
    append(c, ack, put_ack(ack, PUBCOMP, get_u16(packet + body)));
  } else if (type == PUBREC && c->is_publisher && o.pubqos == 2) {
    append(c, ack, put_ack(ack, PUBREL, get_u16(packet + body)));
  } else if (c->is_publisher && ((type == PUBACK && o.pubqos == 1) || (type == PUBCOMP && o.pubqos == 2))) {
    acknowledged++;
    if (o.window > 0 && may_send()) publish(c, get_u16(packet + body));
  } else if (type != PUBLISH || c->is_publisher) unexpected++;
}

/* Takes WebSocket framing off bytes[0, count) in place; returns how many are left. */
static size_t unframed(Connection *c, uint8_t *bytes, size_t count) {
  size_t at = 0, end = 0;
  while (at < count) {
    if (c->frame_left == 0) {
      c->head[c->head_end++] = bytes[at++];
      size_t length = c->head_end < 2 ? 0 : c->head[1] & 0x7f;
      size_t need = 2 + (length == 126 ? 2 : length == 127 ? 8 : 0);
      if (c->head_end < 2 || c->head_end < need) continue;
      if ((c->head[0] & 0x0f) == 8) failed("the WebSocket was closed");
      c->frame_left = length < 126 ? length : 0;
      for (size_t i = 2; i < need; i++) c->frame_left = c->frame_left << 8 | c->head[i];
      c->head_end = 0;
      continue;
    }
    size_t take = count - at < c->frame_left ? count - at : (size_t)c->frame_left;
    memmove(bytes + end, bytes + at, take);
    at += take, end += take, c->frame_left -= take;
  }
  return end;
}

static void greet(Connection *c) {
  uint8_t body[64], packet[80];
  char id[24];
  snprintf(id, sizeof id, "bench-%s-%ld-%05u", c->is_publisher ? "p" : "s", c->is_publisher ? o.run : 0, c->index);
  size_t n = put_text(body, "MQTT");
  body[n++] = 4;
  body[n++] = c->is_publisher || o.clean ? 2 : 0;
  n += put_u16(body + n, 0);
  n += put_text(body + n, id);
  size_t header = put_header(packet, CONNECT << 4, n);
  memcpy(packet + header, body, n);
  c->state = GREETING;
  append(c, packet, header + n);
}

static ssize_t receive(Connection *c, uint8_t *to, size_t bytes) {
#ifdef WITH_TLS
  if (c->tls != NULL) {
    int n = SSL_read(c->tls, to, (int)bytes);
    if (n > 0) return n;
    errno = EAGAIN;
    return SSL_get_error(c->tls, n) == SSL_ERROR_WANT_READ ? -1 : 0;
  }
#endif
  return recv(c->fd, to, bytes, 0);
}

static void keep(Connection *c, const uint8_t *bytes, size_t count) {
  if (count > c->held_room) c->held = grown(c->held, c->held_room = count * 2);
  memmove(c->held, bytes, count);
  c->held_end = count;
}

/* One read and what it brought; true when more may be there. */
static bool read_once(Connection *c) {
  size_t at = c->held_end;
  if (at > 0) memcpy(shared, c->held, at);
  ssize_t n = receive(c, shared + at, READ_BYTES);
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) failed("connection %s%u lost: %s", c->is_publisher ? "p" : "s", c->index, n == 0 ? "closed by the broker" : strerror(errno));
  last_arrival = now_ns();
  bool has_more = c->tls != NULL;
  if (c->state == UPGRADING) {
    if (n < 12 || memcmp(shared + 9, "101", 3) != 0) failed("no WebSocket here");
    greet(c);
    flush(c);
    return has_more;
  }
  size_t end = at + (o.websocket ? unframed(c, shared + at, (size_t)n) : (size_t)n), from = 0;
  while (from < end) {
    size_t body = 0, size = packet_size(shared + from, end - from, &body);
    if (size == 0 || from + size > end) break;
    on_packet(c, shared + from, size, body);
    from += size;
  }
  keep(c, shared + from, end - from);
  if (!c->is_blocked) flush(c);
  return has_more;
}

/* --- the run --------------------------------------------------------------------------------------------------------------------------- */

static void open_one(Connection *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | (o.tls ? 0 : SOCK_NONBLOCK), 0);
  if (c->fd < 0) failed("socket: %s", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* Beyond 28,000 connections one source address runs out of ports; below, loopback's one is enough. */
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) failed("connect: %s", strerror(errno));
#ifdef WITH_TLS
  if (o.tls) {
    c->tls = SSL_new(tls_context);
    SSL_set_fd(c->tls, c->fd);
    if (SSL_connect(c->tls) != 1) failed("no TLS here");
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
  }
#else
  if (o.tls) failed("the generator was built without TLS");
#endif
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  c->is_blocked = true;
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
  if (o.websocket) {
    static const char upgrade[] = "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    append(c, (const uint8_t *)upgrade, sizeof upgrade - 1);
  } else greet(c);
}

static void poll_once(int timeout_ms) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(poller, events, EVENTS, timeout_ms);
  for (int i = 0; i < count; i++) {
    Connection *c = events[i].data.ptr;
    if (c == NULL) {
      uint64_t ticks;
      if (read(ticker, &ticks, sizeof ticks) < 0) continue;
      continue;
    }
    if (events[i].events & EPOLLOUT) flush(c);
    if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) while (read_once(c)) {}
  }
}

static void open_connections(long until) {
  uint64_t deadline = now_ns() + 60 * SECOND;
  while (ready_count < until) {
    while (opened_count < until && opened_count - ready_count < CONNECTING_MAX) open_one(&connections[opened_count++]);
    poll_once(100);
    if (now_ns() > deadline) failed("%ld of %ld connections were accepted within 60 s", ready_count, until);
  }
}

static uint64_t delivered(void) { return o.subs > 0 ? received : o.pubqos > 0 ? acknowledged : sent; }

static void mark_at(const char *event, uint64_t at) {
  printf("{\"event\":\"%s\",\"ms\":%.3f,\"messages\":%llu}\n", event, (double)at / 1e6, (unsigned long long)delivered());
  fflush(stdout);
}

static void mark(const char *event) { mark_at(event, now_ns()); }

static void start_publishing(void) {
  is_publishing = true;
  started_at = now_ns();
  if (o.rate > 0) {
    struct itimerspec every = {.it_interval.tv_nsec = 200000, .it_value.tv_nsec = 200000};
    ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    timerfd_settime(ticker, 0, &every, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, ticker, &event);
  }
  for (long p = 0; p < o.pubs && o.window > 0; p++) {
    Connection *c = &connections[o.subs + p];
    for (long i = 0; i < o.window && may_send(); i++) publish(c, take_id(c));
    flush(c);
  }
}

/* Goes on until `until`. */
static void go_on(uint64_t until) {
  while (now_ns() < until) {
    publish_due();
    bool is_flood = is_publishing && o.window == 0 && o.rate == 0 && o.credit == 0;
    bool has_blocked = false;
    for (long p = 0; is_flood && p < o.pubs && !has_blocked; p++) has_blocked = connections[o.subs + p].is_blocked;
    poll_once(is_flood && !has_blocked ? 0 : 10);
  }
}

static bool is_complete(void) {
  return acknowledged >= (o.pubqos > 0 ? sent : 0) && (o.subs == 0 || o.mode != MODE_RUN || received - redelivered >= sent * (uint64_t)o.copies);
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t percentile(double share) {
  if (sample_count == 0) return 0;
  size_t at = (size_t)(share * (double)sample_count);
  return samples[at < sample_count ? at : sample_count - 1];
}

/* Waits for what is under way. */
static void settle(void) {
  uint64_t from = now_ns();
  bool is_drained = false;
  is_publishing = false;
  while (!is_drained && now_ns() - from < 20 * SECOND) {
    poll_once(20);
    uint64_t since = last_arrival > from ? last_arrival : from;
    is_drained = is_complete() || now_ns() - since > SECOND;
  }
  qsort(samples, sample_count, sizeof *samples, by_value);
  printf("{\"event\":\"done\",\"sent\":%llu,\"acknowledged\":%llu,\"received\":%llu,\"redelivered\":%llu,\"unexpected\":%llu,\"isDrained\":%s",
         (unsigned long long)sent, (unsigned long long)acknowledged, (unsigned long long)received, (unsigned long long)redelivered,
         (unsigned long long)unexpected, is_drained ? "true" : "false");
  if (o.latency) printf(",\"latencyUs\":{\"p50\":%u,\"p99\":%u,\"p999\":%u}", percentile(0.5), percentile(0.99), percentile(0.999));
  puts("}");
  fflush(stdout);
}

static void run(void) {
  uint64_t from = now_ns();
  if (o.mode == MODE_COLLECT) mark("begin");
  open_connections(connection_count);
  printf("{\"event\":\"opened\",\"seconds\":%.6f,\"connections\":%ld}\n", (double)(now_ns() - from) / 1e9, connection_count);
  fflush(stdout);
  if (o.mode == MODE_IDLE) {
    char end;
    if (read(0, &end, 1) < 0) failed("standard input: %s", strerror(errno));
    return;
  }
  if (o.mode == MODE_COLLECT) {
    while (received < (uint64_t)o.expect && now_ns() - last_arrival < QUIET_MAX) poll_once(10);
    mark_at("end", last_arrival);
    settle();
    return;
  }
  start_publishing();
  if (o.count > 0) {
    mark("begin");
    /* Everything published and acknowledged, without a clock. */
    uint64_t deadline = now_ns() + 60 * SECOND;
    while (may_send() || !is_complete()) {
      publish_due();
      poll_once(10);
      if (now_ns() > deadline) break;
    }
    mark("end");
  } else if (o.pubs > 0) {
    go_on(now_ns() + (uint64_t)o.warmup * 1000000);
    is_window = true;
    mark("begin");
    go_on(now_ns() + (uint64_t)o.ms * 1000000);
    is_window = false;
    mark("end");
  }
  settle();
}

static void raise_file_limit(long needed) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if ((rlim_t)needed + 16 > files.rlim_max) failed("%ld connections and no more than %ld files allowed (ulimit -n)", needed, (long)files.rlim_max);
}

static void read_options(int count, char **words) {
  for (int i = 1; i < count; i++) {
    char *equals = strchr(words[i], '=');
    size_t k = 0, known = sizeof options / sizeof *options;
    if (equals == NULL) failed("not NAME=NUMBER: %s", words[i]);
    *equals = 0;
    while (k < known && strcmp(options[k].name, words[i]) != 0) k++;
    if (k == known) failed("no such option: %s", words[i]);
    *options[k].value = atol(equals + 1);
  }
  if (o.payload < 16 || o.topics < 1 || o.pubs < 0 || o.subs < 0) failed("options out of range");
}

int main(int count, char **words) {
  read_options(count, words);
  prctl(PR_SET_TIMERSLACK, 1000);
  prctl(PR_SET_PDEATHSIG, 9);
  connection_count = o.pubs + o.subs;
  raise_file_limit(connection_count);
  poller = epoll_create1(0);
  shared = grown(NULL, READ_BYTES + (1 << 21));
  if (o.latency) {
    sample_room = (size_t)(o.rate * (o.ms + 1000) / 1000 * o.copies);
    samples = grown(NULL, sample_room * sizeof *samples);
  }
#ifdef WITH_TLS
  tls_context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#endif
  if (o.pubs > 0) encode_frames();
  connections = calloc((size_t)connection_count, sizeof *connections);
  for (long i = 0; i < connection_count; i++) {
    connections[i].is_publisher = i >= o.subs;
    connections[i].index = (uint32_t)(i >= o.subs ? i - o.subs : i);
  }
  run();
  return 0;
}
