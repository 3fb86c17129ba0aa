/* Sockets that hand JavaScript a batch of packets at a time. */
#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

int batch_receive(struct batch_socket *self, uint8_t *memory, const struct batch_room *room,
                  struct mmsghdr messages[BATCH]) {
  struct iovec parts[BATCH];
  uint8_t *slots = memory + BATCH * self->kind->record_bytes;
  memset(messages, 0, BATCH * sizeof *messages);
  for (size_t i = 0; i < BATCH; i++) {
    parts[i].iov_base = slots + i * self->slot_bytes;
    parts[i].iov_len = self->slot_bytes;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = (uint8_t *)room->names + i * room->name_bytes;
    messages[i].msg_hdr.msg_namelen = (socklen_t)room->name_bytes;
    messages[i].msg_hdr.msg_control = (uint8_t *)room->control + i * room->control_bytes;
    messages[i].msg_hdr.msg_controllen = room->control_bytes;
  }
  int count;
  do {
    count = recvmmsg(self->watched.fd, messages, BATCH, MSG_DONTWAIT, NULL);
  } while (count < 0 && errno == EINTR);
  for (int i = 0; i < count; i++) messages[i].msg_hdr.msg_iov = NULL; /* `parts` ends here */
  return count;
}

static bool report_failure(struct batch_socket *self, bool in_loop, int error_number) {
  return watched_report(&self->watched, in_loop, 0, self->kind->failure(self, error_number));
}

static void batch_read(struct watched *watched, int failure, bool in_loop) {
  struct batch_socket *self = (struct batch_socket *)watched;
  if (watched->reading) return; /* drain() from inside the callback: the buffer is in use */
  watched->reading = true;
  self->received = 0;
  bool going = failure == 0 || report_failure(self, in_loop, failure);
  for (int round = 0; going && watched->fd >= 0 && round < self->rounds; round++) {
    uint8_t *memory = watched_buffer(watched, BATCH * (self->kind->record_bytes + self->slot_bytes));
    if (memory == NULL) {
      if (in_loop) uv_poll_stop(watched->handle);
      watched_report(watched, in_loop, 0, EFAULT);
      break;
    }
    uint32_t kept = 0;
    int count = self->kind->receive(self, memory, &kept);
    if (count < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      going = report_failure(self, in_loop, errno);
      continue;
    }
    self->received += (uint32_t)count;
    if (kept > 0) going = watched_report(watched, in_loop, kept, 0);
    if ((uint32_t)count < BATCH) break;
  }
  watched->reading = false;
}

napi_value batch_wrap(napi_env env, struct batch_socket *self, const struct batch_kind *kind, int fd) {
  self->kind = kind;
  self->rounds = BATCH_ROUNDS;
  return watched_wrap(env, &self->watched, kind->object, fd, batch_read);
}

void *batch_read_object(napi_env env, napi_value value, const struct batch_kind *kind) {
  struct batch_socket *self = read_object(env, value, kind->object);
  if (self != NULL && self->watched.fd < 0) {
    throw_errno(env, kind->name, EBADF);
    return NULL;
  }
  return self;
}

napi_value batch_start(napi_env env, napi_callback_info info, const struct batch_kind *kind) {
  napi_value arguments[4];
  uint32_t slot_bytes;
  void *data;
  size_t length;
  if (!read_arguments(env, info, 4, arguments)) return NULL;
  struct batch_socket *self = batch_read_object(env, arguments[0], kind);
  if (self == NULL || !read_uint32(env, arguments[2], &slot_bytes)) return NULL;
  if (napi_get_arraybuffer_info(env, arguments[1], &data, &length) != napi_ok || slot_bytes < kind->least_slot_bytes ||
      slot_bytes > 65536 || length < BATCH * (kind->record_bytes + (size_t)slot_bytes)) {
    return throw_argument(env, "the buffer is no ArrayBuffer or too short");
  }
  self->slot_bytes = slot_bytes;
  watched_start(env, &self->watched, arguments[1], arguments[3]);
  return NULL;
}

uint32_t batch_drain(struct batch_socket *self, int rounds) {
  if (self->watched.handle == NULL || self->watched.reading) return 0;
  self->watched.owners += 1;
  self->rounds = rounds;
  batch_read(&self->watched, 0, false);
  self->rounds = BATCH_ROUNDS;
  self->watched.owners -= 1; /* the argument is an owner too: never the last */
  return self->received;
}

napi_value batch_close(napi_env env, napi_callback_info info, const struct batch_kind *kind) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct batch_socket *self = read_object(env, argument, kind->object);
  if (self != NULL) watched_close(&self->watched);
  return NULL;
}
