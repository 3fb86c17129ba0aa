/*
 * Netlink route sockets: datagrams of the kernel, handed over whole. The TypeScript face reads them.
 * A callback (length, 0) says that the shared ArrayBuffer holds one datagram; (0, errno) reports an error, ENOBUFS
 * meaning that events were lost and EMSGSIZE that a datagram did not fit.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 64

struct netlink {
  struct watched watched;
  size_t buffer_bytes;
};

static void netlink_read(struct watched *watched, int failure, bool in_loop) {
  struct netlink *self = (struct netlink *)watched;
  if (watched->reading) return;
  watched->reading = true;
  bool going = failure == 0 || watched_report(watched, in_loop, 0, failure);
  for (int round = 0; going && watched->fd >= 0 && round < ROUNDS; round++) {
    uint8_t *memory = watched_buffer(watched, self->buffer_bytes);
    if (memory == NULL) {
      if (in_loop) uv_poll_stop(watched->handle);
      watched_report(watched, in_loop, 0, EFAULT);
      break;
    }
    struct sockaddr_nl from = {0};
    struct iovec part = {.iov_base = memory, .iov_len = self->buffer_bytes};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t length = recvmsg(watched->fd, &message, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      going = watched_report(watched, in_loop, 0, errno);
    } else if (from.nl_pid != 0) {
      continue; /* only the kernel is believed */
    } else if ((size_t)length > self->buffer_bytes) {
      going = watched_report(watched, in_loop, 0, EMSGSIZE);
    } else {
      going = watched_report(watched, in_loop, (double)length, 0);
    }
  }
  watched->reading = false;
}

static napi_value fail_open(napi_env env, int fd, const char *syscall) {
  int error_number = errno;
  if (fd >= 0) close(fd);
  return throw_errno(env, syscall, error_number);
}

/* (protocol, groups bit mask, receiveBufferBytes) -> external */
napi_value netlink_open(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t protocol, buffer_bytes;
  uint32_t groups;
  if (!read_arguments(env, info, 3, arguments) || !read_int32(env, arguments[0], &protocol) ||
      !read_uint32(env, arguments[1], &groups) || !read_int32(env, arguments[2], &buffer_bytes)) {
    return NULL;
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return fail_open(env, fd, "socket");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes) != 0) {
    return fail_open(env, fd, "SO_RCVBUF");
  }
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return fail_open(env, fd, "bind");
  struct netlink *self = calloc(1, sizeof *self);
  if (self == NULL) return fail_open(env, fd, "malloc");
  return watched_wrap(env, &self->watched, OBJECT_NETLINK, fd, netlink_read);
}

static struct netlink *read_netlink(napi_env env, napi_value value) {
  struct netlink *self = read_object(env, value, OBJECT_NETLINK);
  if (self != NULL && self->watched.fd < 0) {
    throw_errno(env, "netlink", EBADF);
    return NULL;
  }
  return self;
}

/* (netlink, buffer: ArrayBuffer, callback) */
napi_value netlink_start(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  void *data;
  if (!read_arguments(env, info, 3, arguments)) return NULL;
  struct netlink *self = read_netlink(env, arguments[0]);
  if (self == NULL) return NULL;
  if (napi_get_arraybuffer_info(env, arguments[1], &data, &self->buffer_bytes) != napi_ok || self->buffer_bytes == 0) {
    return throw_argument(env, "the buffer is no ArrayBuffer");
  }
  watched_start(env, &self->watched, arguments[1], arguments[2]);
  return NULL;
}

/* (netlink, request) */
napi_value netlink_send(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint8_t *bytes;
  size_t length;
  if (!read_arguments(env, info, 2, arguments)) return NULL;
  struct netlink *self = read_netlink(env, arguments[0]);
  if (self == NULL || !read_bytes(env, arguments[1], &bytes, &length)) return NULL;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  while (sendto(self->watched.fd, bytes, length, MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof kernel) < 0) {
    if (errno != EINTR) return throw_errno(env, "sendto", errno);
  }
  return NULL;
}

napi_value netlink_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct netlink *self = read_object(env, argument, OBJECT_NETLINK);
  if (self != NULL) watched_close(&self->watched);
  return NULL;
}
