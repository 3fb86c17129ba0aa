/* Plain sockets by descriptor: what `net` and `dgram` cannot set; and two facts about the running thread. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPTION_BYTES 512

/* (family, type, protocol) -> fd, close-on-exec and non-blocking */
napi_value socket_create(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t family, type, protocol;
  if (!read_arguments(env, info, 3, arguments) || !read_int32(env, arguments[0], &family) ||
      !read_int32(env, arguments[1], &type) || !read_int32(env, arguments[2], &protocol)) {
    return NULL;
  }
  int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  return fd < 0 ? throw_errno(env, "socket", errno) : number_value(env, fd);
}

/* (fd, sockaddr) */
napi_value socket_bind(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t fd;
  uint8_t *bytes;
  size_t length;
  struct sockaddr_storage address = {0};
  if (!read_arguments(env, info, 2, arguments) || !read_int32(env, arguments[0], &fd) ||
      !read_bytes(env, arguments[1], &bytes, &length)) {
    return NULL;
  }
  if (length > sizeof address) return throw_argument(env, "the address is too long");
  memcpy(&address, bytes, length);
  if (bind(fd, (struct sockaddr *)&address, (socklen_t)length) != 0) return throw_errno(env, "bind", errno);
  return NULL;
}

/* (fd, level, option, value) */
napi_value socket_set_option(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t fd, level, option;
  uint8_t *bytes;
  size_t length;
  if (!read_arguments(env, info, 4, arguments) || !read_int32(env, arguments[0], &fd) ||
      !read_int32(env, arguments[1], &level) || !read_int32(env, arguments[2], &option) ||
      !read_bytes(env, arguments[3], &bytes, &length)) {
    return NULL;
  }
  if (length > OPTION_BYTES) return throw_argument(env, "the option is too long");
  if (setsockopt(fd, level, option, bytes, (socklen_t)length) != 0) return throw_errno(env, "setsockopt", errno);
  return NULL;
}

/* (fd, level, option, length) -> Uint8Array */
napi_value socket_get_option(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t fd, level, option;
  uint32_t wanted;
  uint8_t bytes[OPTION_BYTES];
  if (!read_arguments(env, info, 4, arguments) || !read_int32(env, arguments[0], &fd) ||
      !read_int32(env, arguments[1], &level) || !read_int32(env, arguments[2], &option) ||
      !read_uint32(env, arguments[3], &wanted)) {
    return NULL;
  }
  if (wanted > sizeof bytes) return throw_argument(env, "the option is too long");
  socklen_t length = wanted;
  if (getsockopt(fd, level, option, bytes, &length) != 0) return throw_errno(env, "getsockopt", errno);
  return copy_bytes(env, bytes, length);
}

int attach_filter(int fd, const uint8_t *program, size_t length) {
  const size_t count = length / sizeof(struct sock_filter);
  if (count == 0 || count > BPF_MAXINSNS || length % sizeof(struct sock_filter) != 0) {
    errno = EINVAL;
    return -1;
  }
  struct sock_filter *instructions = malloc(length);
  if (instructions == NULL) return -1;
  memcpy(instructions, program, length);
  const struct sock_fprog filter = {.len = (unsigned short)count, .filter = instructions};
  const int result = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
  const int error_number = errno;
  free(instructions);
  errno = error_number;
  return result;
}

/* (fd, program) */
napi_value socket_attach_filter(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t fd;
  uint8_t *bytes;
  size_t length;
  if (!read_arguments(env, info, 2, arguments) || !read_int32(env, arguments[0], &fd) ||
      !read_bytes(env, arguments[1], &bytes, &length)) {
    return NULL;
  }
  if (attach_filter(fd, bytes, length) != 0) return throw_errno(env, "SO_ATTACH_FILTER", errno);
  return NULL;
}

/* (fd) */
napi_value socket_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!read_arguments(env, info, 1, &argument) || !read_int32(env, argument, &fd)) return NULL;
  if (close(fd) != 0 && errno != EINTR) return throw_errno(env, "close", errno);
  return NULL;
}

/* (name) -> index */
napi_value interface_index(napi_env env, napi_callback_info info) {
  napi_value argument;
  char name[IF_NAMESIZE + 1];
  size_t length;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  if (napi_get_value_string_utf8(env, argument, name, sizeof name, &length) != napi_ok) {
    return throw_argument(env, "expected an interface name");
  }
  if (length == 0 || length >= IF_NAMESIZE) return throw_errno(env, "if_nametoindex", ENODEV);
  unsigned index = if_nametoindex(name);
  return index == 0 ? throw_errno(env, "if_nametoindex", errno) : number_value(env, index);
}

/* (priority): SCHED_FIFO for the calling thread, 1-99; 0 gives it back to the ordinary scheduler. */
napi_value set_realtime_priority(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t priority;
  if (!read_arguments(env, info, 1, &argument) || !read_int32(env, argument, &priority)) return NULL;
  const struct sched_param parameter = {.sched_priority = priority};
  const int policy = (priority > 0 ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK;
  if (sched_setscheduler(0, policy, &parameter) != 0) return throw_errno(env, "sched_setscheduler", errno);
  return NULL;
}

napi_value boottime_ms(napi_env env, napi_callback_info info) {
  (void)info;
  return number_value(env, (double)boottime_nanoseconds() / 1e6);
}
