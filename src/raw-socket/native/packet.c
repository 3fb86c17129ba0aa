/*
 * AF_PACKET sockets: whole Ethernet frames of one interface.
 *
 * Shared memory with JavaScript: one ArrayBuffer. First BATCH records of three 32-bit words {offset, length, packet
 * type}, then BATCH slots of `slot_bytes` each. A callback (count, 0) says that the first `count` records are filled;
 * (0, errno) reports an error of the socket.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define BATCH 32u
#define RECORD_BYTES 12u
/* Frames handled in one go before timers and other sockets get their turn: BATCH times this. */
#define ROUNDS 8
#define ETHERNET_HEADER 14u
#define ADDRESS_BYTES 32u

struct packet {
  struct watched watched;
  int interface;
  size_t slot_bytes;
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

/*
 * Fills the records from one recvmmsg. Returns the number received from the kernel, or -1 with errno; `kept` is how
 * many of them are for JavaScript.
 */
static int receive_batch(struct packet *self, uint8_t *memory, uint32_t *kept) {
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  struct sockaddr_ll from[BATCH];
  union {
    char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct cmsghdr aligned;
  } control[BATCH];
  memset(messages, 0, sizeof messages);
  uint8_t *slots = memory + BATCH * RECORD_BYTES;
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
      uint32_t record[3] = {(uint32_t)(BATCH * RECORD_BYTES + (size_t)i * self->slot_bytes), messages[i].msg_len,
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

static bool report_failure(struct packet *self, bool in_loop, int failure) {
  /* The kernel says "down" for an interface that is down and for one that is gone; the latter is unbound. */
  if (failure == ENETDOWN && bound_interface(self->watched.fd) != self->interface) failure = ENODEV;
  return watched_report(&self->watched, in_loop, 0, failure);
}

static void packet_read(struct watched *watched, int failure, bool in_loop) {
  struct packet *self = (struct packet *)watched;
  if (watched->reading) return; /* drain() from inside onFrame: the buffer is in use */
  watched->reading = true;
  bool going = failure == 0 || report_failure(self, in_loop, failure);
  for (int round = 0; going && watched->fd >= 0 && round < ROUNDS; round++) {
    uint8_t *memory = watched_buffer(watched, BATCH * (RECORD_BYTES + self->slot_bytes));
    if (memory == NULL) {
      if (in_loop) uv_poll_stop(watched->handle);
      watched_report(watched, in_loop, 0, EFAULT);
      break;
    }
    uint32_t kept;
    int count = receive_batch(self, memory, &kept);
    if (count < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      going = report_failure(self, in_loop, errno);
      continue;
    }
    if (kept > 0) going = watched_report(watched, in_loop, kept, 0);
    if ((uint32_t)count < BATCH) break;
  }
  watched->reading = false;
}

static struct packet *read_packet(napi_env env, napi_value value) {
  struct packet *self = read_object(env, value, OBJECT_PACKET);
  if (self != NULL && self->watched.fd < 0) {
    throw_errno(env, "packet", EBADF);
    return NULL;
  }
  return self;
}

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
  return watched_wrap(env, &self->watched, OBJECT_PACKET, fd, packet_read);
}

/* (packet, multicast address, 1 join | 0 leave): programs the interface's receive filter (PACKET_MR_MULTICAST). */
napi_value packet_membership(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  uint8_t *address;
  size_t length;
  uint32_t join;
  if (!read_arguments(env, info, 3, arguments)) return NULL;
  struct packet *self = read_packet(env, arguments[0]);
  if (self == NULL || !read_bytes(env, arguments[1], &address, &length) || !read_uint32(env, arguments[2], &join)) {
    return NULL;
  }
  struct packet_mreq request = {.mr_ifindex = self->interface, .mr_type = PACKET_MR_MULTICAST};
  if (length > sizeof request.mr_address) return throw_argument(env, "a hardware address has at most 8 bytes here");
  request.mr_alen = (unsigned short)length;
  memcpy(request.mr_address, address, length);
  const int option = join != 0 ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
  if (setsockopt(self->watched.fd, SOL_PACKET, option, &request, sizeof request) != 0) {
    return throw_errno(env, join != 0 ? "PACKET_ADD_MEMBERSHIP" : "PACKET_DROP_MEMBERSHIP", errno);
  }
  return NULL;
}

/* (packet, buffer: ArrayBuffer, slotBytes, callback) */
napi_value packet_start(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  uint32_t slot_bytes;
  void *data;
  size_t length;
  if (!read_arguments(env, info, 4, arguments)) return NULL;
  struct packet *self = read_packet(env, arguments[0]);
  if (self == NULL || !read_uint32(env, arguments[2], &slot_bytes)) return NULL;
  if (napi_get_arraybuffer_info(env, arguments[1], &data, &length) != napi_ok || slot_bytes < ETHERNET_HEADER ||
      slot_bytes > 65536 || length < BATCH * (RECORD_BYTES + (size_t)slot_bytes)) {
    return throw_argument(env, "the buffer is no ArrayBuffer or too short");
  }
  self->slot_bytes = slot_bytes;
  watched_start(env, &self->watched, arguments[1], arguments[3]);
  return NULL;
}

/* (packet): delivers what is queued now, in this call. */
napi_value packet_drain(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct packet *self = read_packet(env, argument);
  if (self != NULL && self->watched.handle != NULL) {
    self->watched.owners += 1;
    packet_read(&self->watched, 0, false);
    self->watched.owners -= 1; /* the argument is an owner too: never the last */
  }
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
  struct packet *self = read_packet(env, arguments[0]);
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
    if (sendto(self->watched.fd, frame, length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
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
  struct packet *self = read_packet(env, argument);
  if (self == NULL) return NULL;
  /* The kernel writes hardware addresses longer than sll_addr (InfiniBand has 20 bytes) past its end. */
  union {
    struct sockaddr_ll address;
    uint8_t bytes[sizeof(struct sockaddr_ll) + ADDRESS_BYTES];
  } name;
  memset(&name, 0, sizeof name);
  socklen_t size = sizeof name;
  if (getsockname(self->watched.fd, (struct sockaddr *)&name.address, &size) != 0) {
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
  if (self->watched.fd >= 0 && getsockopt(self->watched.fd, SOL_PACKET, PACKET_STATISTICS, &fresh, &size) == 0) {
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

napi_value packet_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct packet *self = read_object(env, argument, OBJECT_PACKET);
  if (self != NULL) watched_close(&self->watched);
  return NULL;
}
