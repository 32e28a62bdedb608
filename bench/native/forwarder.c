/*
 * The floor: a forwarder that does for each message one read and one write and nothing else a broker must do. It knows topics by their exact
 * name, takes every filter with a wildcard for all topics, answers QoS 1 with its PUBACK, forwards bytes as they are, and forgets the
 * rest. Frames that came with one read and go to the same subscriber leave with one write.
 *
 * With a file name as its argument it is the reference for durable ingest instead: what one turn of its loop brought is appended to a file
 * made long before, synced once, and acknowledged then.
 *
 *     forwarder [FILE]        says `ready pid=PID mqtt://127.0.0.1:PORT`
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define READ_BYTES (1 << 18)
#define FILE_BYTES (256l << 20)
#define GROUP_BYTES (8 << 20)
#define ROUTES (1 << 18)
#define EVENTS 512

typedef struct Client {
  int fd;
  bool is_blocked;
  uint8_t *out; /* what the system did not take yet: out[out_at, out_end) */
  size_t out_at, out_end, out_room;
  uint8_t *held; /* a packet's start */
  size_t held_end, held_room;
  uint8_t *acks; /* of the group that is being written */
  size_t acks_end, acks_room;
} Client;

static struct { uint8_t topic[64]; size_t length; Client *to; } routes[ROUTES];
static Client **everything;
static size_t everything_count;
static int poller, file = -1;
static long file_at;
static uint8_t *shared, *group;
static size_t group_end;
static Client *waiting[65536];
static size_t waiting_count;

static void watch(Client *c) {
  struct epoll_event event = {.events = EPOLLIN | (c->is_blocked ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void put_off(Client *c, const uint8_t *bytes, size_t count) {
  if (c->out_end + count > c->out_room) c->out = grown(c->out, c->out_room = (c->out_end + count) * 2);
  memcpy(c->out + c->out_end, bytes, count);
  c->out_end += count;
}

static void write_to(Client *c, const uint8_t *bytes, size_t count) {
  ssize_t n = c->out_end > 0 ? 0 : send(c->fd, bytes, count, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return;
  size_t taken = n < 0 ? 0 : (size_t)n;
  if (taken == count) return;
  put_off(c, bytes + taken, count - taken);
  if (!c->is_blocked) c->is_blocked = true, watch(c);
}

static void write_rest(Client *c) {
  ssize_t n = send(c->fd, c->out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
  if (n > 0) c->out_at += (size_t)n;
  if (c->out_at < c->out_end) return;
  c->out_at = c->out_end = 0;
  c->is_blocked = false;
  watch(c);
}

static size_t slot_of(const uint8_t *topic, size_t length) {
  uint64_t hash = 1469598103934665603u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ topic[i]) * 1099511628211u;
  size_t slot = hash % ROUTES;
  while (routes[slot].to != NULL && (routes[slot].length != length || memcmp(routes[slot].topic, topic, length) != 0)) slot = (slot + 1) % ROUTES;
  return slot;
}

/* bytes[0, count): whole packets with one topic. */
static void forward(const uint8_t *topic, size_t length, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < everything_count; i++) write_to(everything[i], bytes, count);
  if (everything_count > 0) return;
  Client *to = routes[slot_of(topic, length)].to;
  if (to != NULL) write_to(to, bytes, count);
}

static void subscribe(Client *c, const uint8_t *packet, size_t body, size_t size) {
  uint8_t answer[1024], codes[512];
  size_t n = 0;
  for (size_t at = body + 2; at < size && n < sizeof codes;) {
    size_t length = get_u16(packet + at);
    const uint8_t *filter = packet + at + 2;
    bool is_all = memchr(filter, '#', length) != NULL || memchr(filter, '+', length) != NULL;
    size_t slot = is_all || length > sizeof routes[0].topic ? 0 : slot_of(filter, length);
    /* A second subscriber of the same topic: then everybody gets everything. */
    if (is_all || (routes[slot].to != NULL && routes[slot].to != c)) {
      everything = grown(everything, (everything_count + 2) * sizeof *everything);
      if (!is_all && everything_count == 0) everything[everything_count++] = routes[slot].to;
      everything[everything_count++] = c;
    } else {
      memcpy(routes[slot].topic, filter, length);
      routes[slot].length = length;
      routes[slot].to = c;
    }
    at += 2 + length;
    codes[n++] = packet[at++];
  }
  size_t header = put_header(answer, SUBACK << 4, n + 2);
  memcpy(answer + header, packet + body, 2);
  memcpy(answer + header + 2, codes, n);
  write_to(c, answer, header + 2 + n);
}

static void acknowledge(Client *c, unsigned packet_id) {
  if (c->acks_end + 4 > c->acks_room) c->acks = grown(c->acks, c->acks_room = (c->acks_end + 4) * 2);
  if (c->acks_end == 0 && file >= 0) waiting[waiting_count++] = c;
  c->acks_end += put_ack(c->acks + c->acks_end, PUBACK, packet_id);
}

static void release_acks(Client *c) {
  if (c->acks_end > 0) write_to(c, c->acks, c->acks_end);
  c->acks_end = 0;
}

/* What this turn brought goes to the file in one write and one sync. */
static void commit(void) {
  if (waiting_count == 0) return;
  if (file_at + (long)group_end > FILE_BYTES) file_at = 0;
  if (pwrite(file, group, group_end, file_at) != (ssize_t)group_end || fdatasync(file) != 0) exit(1);
  file_at += (long)group_end;
  group_end = 0;
  for (size_t i = 0; i < waiting_count; i++) release_acks(waiting[i]);
  waiting_count = 0;
}

static void on_control(Client *c, const uint8_t *packet, size_t body, size_t size) {
  static const uint8_t connack[] = {CONNACK << 4, 2, 0, 0};
  if (packet[0] >> 4 == CONNECT) write_to(c, connack, sizeof connack);
  else if (packet[0] >> 4 == SUBSCRIBE) subscribe(c, packet, body, size);
}

static void on_bytes(Client *c, const uint8_t *bytes, size_t end) {
  size_t at = 0, run_from = 0, topic_length = 0;
  const uint8_t *topic = NULL; /* of the run bytes[run_from, at) */
  while (at < end) {
    size_t body = 0, size = packet_size(bytes + at, end - at, &body);
    if (size == 0 || at + size > end) break;
    const uint8_t *packet = bytes + at;
    if (packet[0] >> 4 == PUBLISH) {
      size_t length = get_u16(packet + body);
      const uint8_t *name = packet + body + 2;
      if (packet[0] & 6) acknowledge(c, get_u16(name + length));
      if (file >= 0) {
        if (group_end + size > GROUP_BYTES) commit();
        memcpy(group + group_end, packet, size);
        group_end += size;
      } else if (topic == NULL || length != topic_length || memcmp(topic, name, length) != 0) {
        if (topic != NULL) forward(topic, topic_length, bytes + run_from, at - run_from);
        run_from = at, topic = name, topic_length = length;
      }
    } else on_control(c, packet, body, size);
    at += size;
  }
  if (topic != NULL) forward(topic, topic_length, bytes + run_from, at - run_from);
  if (file < 0) release_acks(c);
  size_t left = end - at;
  if (left > c->held_room) c->held = grown(c->held, c->held_room = left * 2);
  if (left > 0) memcpy(c->held, bytes + at, left);
  c->held_end = left;
}

static void accept_one(int listener) {
  int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Client *c = calloc(1, sizeof *c);
  c->fd = fd;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

/* Clients are never freed: a run has as many as it has, and the process ends with it. */
static void serve(int listener, Client *c, uint32_t events) {
  if (c == NULL) {
    accept_one(listener);
    return;
  }
  if (events & EPOLLOUT) write_rest(c);
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  size_t held = c->held_end;
  if (held > 0) memcpy(shared, c->held, held);
  ssize_t n = recv(c->fd, shared + held, READ_BYTES, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    c->fd = -1;
    return;
  }
  on_bytes(c, shared, held + (size_t)n);
}

static int open_listener(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1024) != 0) exit(1);
  getsockname(listener, (struct sockaddr *)&at, &length);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  printf("ready pid=%d mqtt://127.0.0.1:%d\n", getpid(), ntohs(at.sin_port));
  fflush(stdout);
  return listener;
}

static void preallocate(const char *path) {
  static uint8_t zeros[1 << 20];
  file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (long at = 0; at < FILE_BYTES; at += sizeof zeros) if (file < 0 || pwrite(file, zeros, sizeof zeros, at) != sizeof zeros) exit(1);
  if (fsync(file) != 0) exit(1);
}

int main(int count, char **words) {
  struct rlimit files;
  prctl(PR_SET_PDEATHSIG, 9);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  poller = epoll_create1(0);
  shared = grown(NULL, READ_BYTES + (1 << 21));
  group = grown(NULL, GROUP_BYTES);
  if (count > 1) preallocate(words[1]);
  int listener = open_listener();
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) serve(listener, events[i].data.ptr, events[i].events);
    commit();
  }
}
