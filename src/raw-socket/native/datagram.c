/*
 * UDP sockets with what Node's dgram does not tell of a datagram: TTL, interface, destination address.
 *
 * A record: length, flags, TTL, interface index, source port, reserved (six 32-bit words); source address, destination
 * address (16 bytes each).
 */
#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define MEMINFO_DROPS 8

/* Batches in one drain. */
#define DRAIN_ROUNDS 128

#define FLAG_TRUNCATED 1u
/* The record's TTL when the kernel did not tell. */
#define UNKNOWN_TTL 0xffffffffu

struct record {
  uint32_t length, flags, ttl, interface, port, reserved;
  uint8_t source[16], destination[16];
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

static int receive(struct batch_socket *self, uint8_t *memory, uint32_t *kept) {
  struct mmsghdr messages[BATCH];
  struct sockaddr_storage from[BATCH];
  union {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr aligned;
  } control[BATCH];
  const struct batch_room room = {from, sizeof from[0], control, sizeof control[0]};
  int count = batch_receive(self, memory, &room, messages);
  for (int i = 0; i < count; i++) {
    struct record record;
    describe(&messages[i].msg_hdr, messages[i].msg_len, &record);
    memcpy(memory + (size_t)i * sizeof record, &record, sizeof record);
  }
  *kept = count > 0 ? (uint32_t)count : 0;
  return count;
}

static int failure_of(struct batch_socket *self, int error_number) {
  (void)self;
  return error_number;
}

static const struct batch_kind datagrams = {
    .object = OBJECT_DATAGRAM,
    .name = "datagram",
    .record_bytes = sizeof(struct record),
    .least_slot_bytes = 1,
    .receive = receive,
    .failure = failure_of,
};

/* (fd of a UDP socket) -> external, which owns the descriptor from then on. */
napi_value datagram_open(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!read_arguments(env, info, 1, &argument) || !read_int32(env, argument, &fd)) return NULL;
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return throw_errno(env, "SO_TYPE", errno);
  if (type != SOCK_DGRAM) return throw_argument(env, "not a UDP socket");
  struct batch_socket *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, "malloc", ENOMEM);
  return batch_wrap(env, self, &datagrams, fd);
}

/* (datagram, buffer: ArrayBuffer, slotBytes, callback) */
napi_value datagram_start(napi_env env, napi_callback_info info) { return batch_start(env, info, &datagrams); }

/* (datagram) -> how many were delivered, in this call. Empties the queue, but for a flood that never ends. */
napi_value datagram_drain(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct batch_socket *self = batch_read_object(env, argument, &datagrams);
  if (self == NULL) return NULL;
  return number_value(env, batch_drain(self, DRAIN_ROUNDS));
}

/* (datagram, payload, sockaddr) -> 0 sent, else the errno of the send */
napi_value datagram_send(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  uint8_t *payload, *bytes;
  size_t length, address_length;
  struct sockaddr_storage address = {0};
  if (!read_arguments(env, info, 3, arguments)) return NULL;
  struct batch_socket *self = batch_read_object(env, arguments[0], &datagrams);
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
  struct batch_socket *self = batch_read_object(env, argument, &datagrams);
  if (self == NULL) return NULL;
  if (getsockopt(self->watched.fd, SOL_SOCKET, SO_MEMINFO, counters, &size) != 0) {
    return throw_errno(env, "SO_MEMINFO", errno);
  }
  return number_value(env, counters[MEMINFO_DROPS]);
}

napi_value datagram_close(napi_env env, napi_callback_info info) { return batch_close(env, info, &datagrams); }
