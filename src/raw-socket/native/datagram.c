/*
 * UDP sockets with what Node's dgram does not tell of a datagram: TTL, interface, destination address.
 *
 * Shared memory with JavaScript: one ArrayBuffer of BATCH records {length, flags, TTL, interface index, source port,
 * reserved: six 32-bit words; source address, destination address: 16 bytes each}, then BATCH slots of `slot_bytes`
 * each. Record i describes slot i. A callback (count, 0) says that the first `count` are filled; (0, errno) reports an
 * error of the socket.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define MEMINFO_DROPS 8

#define BATCH 32u
/* Datagrams handled in one go before timers and other sockets get their turn, and in one drain: BATCH times this. */
#define ROUNDS 8
#define DRAIN_ROUNDS 128

#define FLAG_TRUNCATED 1u
/* The record's TTL when the kernel did not tell. */
#define UNKNOWN_TTL 0xffffffffu

struct record {
  uint32_t length, flags, ttl, interface, port, reserved;
  uint8_t source[16], destination[16];
};

struct datagram {
  struct watched watched;
  size_t slot_bytes;
  bool draining;
  uint32_t drained;
};

uint32_t datagram_batch(void) { return BATCH; }

static uint32_t int_of(const struct cmsghdr *part) {
  int value;
  memcpy(&value, CMSG_DATA(part), sizeof value);
  return (uint32_t)value;
}

static void describe(struct msghdr *message, uint32_t length, struct record *record) {
  memset(record, 0, sizeof *record);
  record->length = length;
  record->ttl = UNKNOWN_TTL;
  if ((message->msg_flags & MSG_TRUNC) != 0) record->flags |= FLAG_TRUNCATED;
  const struct sockaddr_storage *from = message->msg_name;
  if (from->ss_family == AF_INET) {
    const struct sockaddr_in *source = message->msg_name;
    record->port = ntohs(source->sin_port);
    memcpy(record->source, &source->sin_addr, 4);
  } else if (from->ss_family == AF_INET6) {
    const struct sockaddr_in6 *source = message->msg_name;
    record->port = ntohs(source->sin6_port);
    memcpy(record->source, &source->sin6_addr, 16);
  }
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TTL && part->cmsg_len >= CMSG_LEN(sizeof(int))) {
      record->ttl = int_of(part);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT &&
               part->cmsg_len >= CMSG_LEN(sizeof(int))) {
      record->ttl = int_of(part);
    } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO &&
               part->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(part), sizeof info);
      record->interface = (uint32_t)info.ipi_ifindex;
      memcpy(record->destination, &info.ipi_addr, 4);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO &&
               part->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
      struct in6_pktinfo info;
      memcpy(&info, CMSG_DATA(part), sizeof info);
      record->interface = (uint32_t)info.ipi6_ifindex;
      memcpy(record->destination, &info.ipi6_addr, 16);
    }
  }
}

/* Fills the records from one recvmmsg. Returns how many, or -1 with errno. */
static int receive_batch(struct datagram *self, uint8_t *memory) {
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  struct sockaddr_storage from[BATCH];
  union {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr aligned;
  } control[BATCH];
  memset(messages, 0, sizeof messages);
  uint8_t *slots = memory + BATCH * sizeof(struct record);
  for (size_t i = 0; i < BATCH; i++) {
    parts[i].iov_base = slots + i * self->slot_bytes;
    parts[i].iov_len = self->slot_bytes;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &from[i];
    messages[i].msg_hdr.msg_namelen = sizeof from[i];
    messages[i].msg_hdr.msg_control = control[i].bytes;
    messages[i].msg_hdr.msg_controllen = sizeof control[i].bytes;
  }
  int count;
  do {
    count = recvmmsg(self->watched.fd, messages, BATCH, MSG_DONTWAIT, NULL);
  } while (count < 0 && errno == EINTR);
  for (int i = 0; i < count; i++) {
    struct record record;
    describe(&messages[i].msg_hdr, messages[i].msg_len, &record);
    memcpy(memory + (size_t)i * sizeof record, &record, sizeof record);
  }
  return count;
}

static void datagram_read(struct watched *watched, int failure, bool in_loop) {
  struct datagram *self = (struct datagram *)watched;
  if (watched->reading) return; /* drain() from inside the callback: the buffer is in use */
  watched->reading = true;
  self->drained = 0;
  bool going = failure == 0 || watched_report(watched, in_loop, 0, failure);
  const int rounds = self->draining ? DRAIN_ROUNDS : ROUNDS;
  for (int round = 0; going && watched->fd >= 0 && round < rounds; round++) {
    uint8_t *memory = watched_buffer(watched, BATCH * (sizeof(struct record) + self->slot_bytes));
    if (memory == NULL) {
      if (in_loop) uv_poll_stop(watched->handle);
      watched_report(watched, in_loop, 0, EFAULT);
      break;
    }
    int count = receive_batch(self, memory);
    if (count < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      going = watched_report(watched, in_loop, 0, errno);
      continue;
    }
    self->drained += (uint32_t)count;
    if (count > 0) going = watched_report(watched, in_loop, count, 0);
    if ((uint32_t)count < BATCH) break;
  }
  watched->reading = false;
}

static struct datagram *read_datagram(napi_env env, napi_value value) {
  struct datagram *self = read_object(env, value, OBJECT_DATAGRAM);
  if (self != NULL && self->watched.fd < 0) {
    throw_errno(env, "datagram", EBADF);
    return NULL;
  }
  return self;
}

/* (fd of a UDP socket) -> external, which owns the descriptor from then on. */
napi_value datagram_open(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!read_arguments(env, info, 1, &argument) || !read_int32(env, argument, &fd)) return NULL;
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return throw_errno(env, "SO_TYPE", errno);
  if (type != SOCK_DGRAM) return throw_argument(env, "not a UDP socket");
  struct datagram *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, "malloc", ENOMEM);
  return watched_wrap(env, &self->watched, OBJECT_DATAGRAM, fd, datagram_read);
}

/* (datagram, buffer: ArrayBuffer, slotBytes, callback) */
napi_value datagram_start(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  uint32_t slot_bytes;
  void *data;
  size_t length;
  if (!read_arguments(env, info, 4, arguments)) return NULL;
  struct datagram *self = read_datagram(env, arguments[0]);
  if (self == NULL || !read_uint32(env, arguments[2], &slot_bytes)) return NULL;
  if (napi_get_arraybuffer_info(env, arguments[1], &data, &length) != napi_ok || slot_bytes < 1 ||
      slot_bytes > 65536 || length < BATCH * (sizeof(struct record) + (size_t)slot_bytes)) {
    return throw_argument(env, "the buffer is no ArrayBuffer or too short");
  }
  self->slot_bytes = slot_bytes;
  watched_start(env, &self->watched, arguments[1], arguments[3]);
  return NULL;
}

/* (datagram) -> how many were delivered, in this call. Empties the queue, but for a flood that never ends. */
napi_value datagram_drain(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct datagram *self = read_datagram(env, argument);
  if (self == NULL) return NULL;
  if (self->watched.handle == NULL || self->watched.reading) return number_value(env, 0);
  self->watched.owners += 1;
  self->draining = true;
  datagram_read(&self->watched, 0, false);
  self->draining = false;
  uint32_t drained = self->drained;
  self->watched.owners -= 1; /* the argument is an owner too: never the last */
  return number_value(env, drained);
}

/* (datagram, payload, sockaddr) -> 0 sent, else the errno of the send */
napi_value datagram_send(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  uint8_t *payload, *bytes;
  size_t length, address_length;
  struct sockaddr_storage address = {0};
  if (!read_arguments(env, info, 3, arguments)) return NULL;
  struct datagram *self = read_datagram(env, arguments[0]);
  if (self == NULL || !read_bytes(env, arguments[1], &payload, &length) ||
      !read_bytes(env, arguments[2], &bytes, &address_length)) {
    return NULL;
  }
  if (address_length > sizeof address) return throw_argument(env, "the address is too long");
  memcpy(&address, bytes, address_length);
  for (;;) {
    if (sendto(self->watched.fd, payload, length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)address_length) >= 0) {
      return number_value(env, 0);
    }
    if (errno != EINTR) return number_value(env, errno);
  }
}

/* (datagram) -> datagrams that the kernel did not queue: refused by the filter, or no room */
napi_value datagram_dropped(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t counters[16] = {0};
  socklen_t size = sizeof counters;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct datagram *self = read_datagram(env, argument);
  if (self == NULL) return NULL;
  if (getsockopt(self->watched.fd, SOL_SOCKET, SO_MEMINFO, counters, &size) != 0) {
    return throw_errno(env, "SO_MEMINFO", errno);
  }
  return number_value(env, counters[MEMINFO_DROPS]);
}

napi_value datagram_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct datagram *self = read_object(env, argument, OBJECT_DATAGRAM);
  if (self != NULL) watched_close(&self->watched);
  return NULL;
}
