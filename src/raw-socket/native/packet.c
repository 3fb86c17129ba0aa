/*
 * AF_PACKET sockets: whole Ethernet frames of one interface.
 *
 * A record: offset of the slot, length, packet type (three 32-bit words).
 */
#define _GNU_SOURCE
#include "batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define RECORD_BYTES 12u
#define ETHERNET_HEADER 14u
#define ADDRESS_BYTES 32u

struct packet {
  struct batch_socket socket;
  int interface;
  uint64_t received, ignored, truncated, dropped, sent, unsent, gated;
};

uint32_t packet_batch(void) { return BATCH; }

static bool carries_vlan_tag(struct msghdr *message) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA &&
        part->cmsg_len >= CMSG_LEN(sizeof(struct tpacket_auxdata))) {
      struct tpacket_auxdata data;
      memcpy(&data, CMSG_DATA(part), sizeof data);
      return (data.tp_status & TP_STATUS_VLAN_VALID) != 0;
    }
  }
  return false;
}

static int receive(struct batch_socket *socket, uint8_t *memory, uint32_t *kept) {
  struct packet *self = (struct packet *)socket;
  struct mmsghdr messages[BATCH];
  struct sockaddr_ll from[BATCH];
  union {
    char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct cmsghdr aligned;
  } control[BATCH];
  const struct batch_room room = {from, sizeof from[0], control, sizeof control[0]};
  int count = batch_receive(socket, memory, &room, messages);
  *kept = 0;
  for (int i = 0; i < count; i++) {
    struct msghdr *message = &messages[i].msg_hdr;
    /*
     * Not ours: a frame for another host; one with a VLAN tag; one that a VLAN device (or bond) on top of ours took,
     * which the kernel shows to the lower interface without its tag but with the upper one's index.
     */
    if (from[i].sll_pkttype == PACKET_OTHERHOST || from[i].sll_ifindex != self->interface || carries_vlan_tag(message)) {
      self->ignored += 1;
    } else if ((message->msg_flags & MSG_TRUNC) != 0) {
      self->truncated += 1;
    } else {
      uint32_t record[3] = {(uint32_t)(BATCH * RECORD_BYTES + (size_t)i * socket->slot_bytes), messages[i].msg_len,
                            from[i].sll_pkttype};
      memcpy(memory + *kept * RECORD_BYTES, record, sizeof record);
      *kept += 1;
    }
  }
  self->received += *kept;
  return count;
}

static int bound_interface(int fd) {
  struct sockaddr_storage storage;
  socklen_t size = sizeof storage;
  if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) return -1;
  return ((struct sockaddr_ll *)&storage)->sll_ifindex;
}

static int failure_of(struct batch_socket *socket, int error_number) {
  struct packet *self = (struct packet *)socket;
  /* The kernel says "down" for an interface that is down and for one that is gone; the latter is unbound. */
  const bool gone = error_number == ENETDOWN && bound_interface(socket->watched.fd) != self->interface;
  return gone ? ENODEV : error_number;
}

static const struct batch_kind packets = {
    .object = OBJECT_PACKET,
    .name = "packet",
    .record_bytes = RECORD_BYTES,
    .least_slot_bytes = ETHERNET_HEADER,
    .receive = receive,
    .failure = failure_of,
};

static napi_value fail_open(napi_env env, int fd, const char *syscall) {
  int error_number = errno;
  if (fd >= 0) close(fd);
  return throw_errno(env, syscall, error_number);
}

/*
 * (interfaceIndex, etherType, program | undefined, receiveBufferBytes, ignoreOutgoing) -> external.
 * Protocol 0 first: nothing is queued before the filter is in place and the interface chosen.
 */
napi_value packet_open(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  int32_t interface, buffer_bytes;
  uint32_t ether_type, ignore_outgoing;
  bool filtered;
  uint8_t *program;
  size_t program_length;
  if (!read_arguments(env, info, 5, arguments) || !read_int32(env, arguments[0], &interface) ||
      !read_uint32(env, arguments[1], &ether_type) ||
      !read_optional_bytes(env, arguments[2], &filtered, &program, &program_length) ||
      !read_int32(env, arguments[3], &buffer_bytes) || !read_uint32(env, arguments[4], &ignore_outgoing)) {
    return NULL;
  }
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail_open(env, fd, "socket");
  if (filtered && attach_filter(fd, program, program_length) != 0) return fail_open(env, fd, "SO_ATTACH_FILTER");
  int one = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) != 0) return fail_open(env, fd, "PACKET_AUXDATA");
  if (ignore_outgoing != 0 && setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0) {
    return fail_open(env, fd, "PACKET_IGNORE_OUTGOING");
  }
  /* Beyond net.core.rmem_max with NET_ADMIN, up to it without. */
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes) != 0) {
    return fail_open(env, fd, "SO_RCVBUF");
  }
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)ether_type), .sll_ifindex = interface};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return fail_open(env, fd, "bind");
  struct packet *self = calloc(1, sizeof *self);
  if (self == NULL) return fail_open(env, fd, "malloc");
  self->interface = interface;
  return batch_wrap(env, &self->socket, &packets, fd);
}

/* (packet, multicast address, 1 join | 0 leave): programs the interface's receive filter (PACKET_MR_MULTICAST). */
napi_value packet_membership(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  uint8_t *address;
  size_t length;
  uint32_t join;
  if (!read_arguments(env, info, 3, arguments)) return NULL;
  struct packet *self = batch_read_object(env, arguments[0], &packets);
  if (self == NULL || !read_bytes(env, arguments[1], &address, &length) || !read_uint32(env, arguments[2], &join)) {
    return NULL;
  }
  struct packet_mreq request = {.mr_ifindex = self->interface, .mr_type = PACKET_MR_MULTICAST};
  if (length > sizeof request.mr_address) return throw_argument(env, "a hardware address has at most 8 bytes here");
  request.mr_alen = (unsigned short)length;
  memcpy(request.mr_address, address, length);
  const int option = join != 0 ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
  if (setsockopt(self->socket.watched.fd, SOL_PACKET, option, &request, sizeof request) != 0) {
    return throw_errno(env, join != 0 ? "PACKET_ADD_MEMBERSHIP" : "PACKET_DROP_MEMBERSHIP", errno);
  }
  return NULL;
}

/* (packet, buffer: ArrayBuffer, slotBytes, callback) */
napi_value packet_start(napi_env env, napi_callback_info info) { return batch_start(env, info, &packets); }

/* (packet): delivers what is queued now, in this call. */
napi_value packet_drain(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct packet *self = batch_read_object(env, argument, &packets);
  if (self != NULL) batch_drain(&self->socket, BATCH_ROUNDS);
  return NULL;
}

/*
 * (packet, frame, gate | undefined) -> 0 sent, -1 refused by the gate, else the errno of the send.
 * The gate is asked here and nowhere earlier, so that whatever stalled the caller counts against it.
 */
napi_value packet_send(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  napi_valuetype type;
  uint8_t *frame;
  size_t length;
  if (!read_arguments(env, info, 3, arguments)) return NULL;
  struct packet *self = batch_read_object(env, arguments[0], &packets);
  if (self == NULL || !read_bytes(env, arguments[1], &frame, &length)) return NULL;
  if (length < ETHERNET_HEADER) return throw_argument(env, "a frame has at least 14 bytes");
  void *gate = NULL;
  if (napi_typeof(env, arguments[2], &type) != napi_ok) return NULL;
  if (type != napi_undefined) {
    gate = read_object(env, arguments[2], OBJECT_GATE);
    if (gate == NULL) return NULL;
  }
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = self->interface};
  memcpy(&address.sll_protocol, frame + 12, 2);
  for (;;) {
    if (gate != NULL && !gate_is_open(gate)) {
      self->gated += 1;
      return number_value(env, -1);
    }
    if (sendto(self->socket.watched.fd, frame, length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
               sizeof address) >= 0) {
      self->sent += 1;
      return number_value(env, 0);
    }
    int error_number = errno;
    if (error_number == EINTR) continue;
    self->unsent += 1;
    return number_value(env, error_number);
  }
}

/* (packet) -> Uint8Array, empty when the interface is gone */
napi_value packet_hardware_address(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct packet *self = batch_read_object(env, argument, &packets);
  if (self == NULL) return NULL;
  /* The kernel writes hardware addresses longer than sll_addr (InfiniBand has 20 bytes) past its end. */
  union {
    struct sockaddr_ll address;
    uint8_t bytes[sizeof(struct sockaddr_ll) + ADDRESS_BYTES];
  } name;
  memset(&name, 0, sizeof name);
  socklen_t size = sizeof name;
  if (getsockname(self->socket.watched.fd, (struct sockaddr *)&name.address, &size) != 0) {
    return throw_errno(env, "getsockname", errno);
  }
  size_t length = name.address.sll_halen <= ADDRESS_BYTES ? name.address.sll_halen : ADDRESS_BYTES;
  return copy_bytes(env, name.bytes + offsetof(struct sockaddr_ll, sll_addr), length);
}

/* (packet) -> array of the seven counters, in the order of the structure */
napi_value packet_statistics(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct packet *self = read_object(env, argument, OBJECT_PACKET);
  if (self == NULL) return NULL;
  struct tpacket_stats fresh = {0};
  socklen_t size = sizeof fresh;
  /* Reading resets the kernel's counters. */
  const int fd = self->socket.watched.fd;
  if (fd >= 0 && getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &fresh, &size) == 0) {
    self->dropped += fresh.tp_drops;
  }
  const uint64_t counters[] = {self->received, self->ignored, self->truncated, self->dropped,
                               self->sent,     self->unsent,  self->gated};
  const uint32_t count = sizeof counters / sizeof counters[0];
  if (napi_create_array_with_length(env, count, &result) != napi_ok) return NULL;
  for (uint32_t i = 0; i < count; i++) {
    napi_value counter = number_value(env, (double)counters[i]);
    if (counter == NULL || napi_set_element(env, result, i, counter) != napi_ok) return NULL;
  }
  return result;
}

napi_value packet_close(napi_env env, napi_callback_info info) { return batch_close(env, info, &packets); }
