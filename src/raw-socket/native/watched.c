/*
 * Descriptors watched by the event loop, and their end.
 *
 * An environment may go at any time (worker.terminate()): an asynchronous cleanup hook closes every descriptor and
 * makes Node wait until libuv has let go of the handles. The hook runs before the environment is destroyed, so
 * references can still be deleted in it; the close callbacks may come later and touch no napi_env.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A descriptor that wakes us this often in a row with neither data nor an error is given up, not spun on. */
#define MOST_IDLE_ERRORS 64

static void state_release(struct addon_state *state) {
  if (state->torn_down && state->instance_gone) free(state);
}

static void teardown_step(struct addon_state *state) {
  if (state->teardown == NULL || state->torn_down || state->closing > 0) return;
  state->torn_down = true;
  napi_remove_async_cleanup_hook(state->teardown);
  state_release(state);
}

static void on_teardown(napi_async_cleanup_hook_handle hook, void *data) {
  struct addon_state *state = data;
  state->teardown = hook;
  while (state->open != NULL) watched_close(state->open);
  teardown_step(state);
}

static void on_instance_gone(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct addon_state *state = data;
  state->instance_gone = true;
  state_release(state);
}

struct addon_state *watched_setup(napi_env env) {
  struct addon_state *state = calloc(1, sizeof *state);
  if (state == NULL) {
    throw_errno(env, "malloc", ENOMEM);
    return NULL;
  }
  if (napi_get_uv_event_loop(env, (struct uv_loop_s **)&state->loop) != napi_ok ||
      napi_set_instance_data(env, state, on_instance_gone, NULL) != napi_ok) {
    free(state);
    throw_argument(env, "this environment has no event loop");
    return NULL;
  }
  if (napi_add_async_cleanup_hook(env, on_teardown, state, NULL) != napi_ok) {
    state->torn_down = true; /* on_instance_gone frees it */
    throw_argument(env, "the cleanup hook was refused");
    return NULL;
  }
  return state;
}

static void release(struct watched *self) {
  self->owners -= 1;
  if (self->owners == 0) free(self);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct watched *self = data;
  if (self->fd >= 0 && self->handle == NULL) watched_close(self); /* opened, never started, forgotten */
  release(self);
}

static void on_closed(uv_handle_t *handle) {
  struct watched *self = uv_handle_get_data(handle);
  struct addon_state *state = self->state;
  free(handle);
  release(self);
  state->closing -= 1;
  teardown_step(state);
}

napi_value watched_wrap(napi_env env, struct watched *self, enum object_kind kind, int fd,
                        void (*read)(struct watched *self, int failure, bool in_loop)) {
  napi_value external;
  struct addon_state *state = NULL;
  if (napi_get_instance_data(env, (void **)&state) != napi_ok || state == NULL ||
      napi_create_external(env, self, on_collected, NULL, &external) != napi_ok) {
    close(fd);
    free(self);
    return throw_errno(env, "malloc", ENOMEM);
  }
  self->object.kind = kind;
  self->state = state;
  self->env = env;
  self->fd = fd;
  self->owners = 1;
  self->read = read;
  self->next = state->open;
  if (state->open != NULL) state->open->previous = self;
  state->open = self;
  return external;
}

static void on_ready(uv_poll_t *handle, int status, int events) {
  (void)events;
  struct watched *self = uv_handle_get_data((uv_handle_t *)handle);
  int failure = 0;
  if (status < 0) {
    /* libuv stops watching when the kernel signals an error (link down, netlink overrun): take it and go on. */
    socklen_t size = sizeof failure;
    if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) failure = errno;
    self->idle_errors += 1;
    if (failure == 0 && self->idle_errors > MOST_IDLE_ERRORS) {
      failure = EIO;
    } else {
      uv_poll_start(self->handle, UV_READABLE_EVENT, on_ready);
    }
  } else {
    self->idle_errors = 0;
  }
  napi_handle_scope scope;
  if (napi_open_handle_scope(self->env, &scope) != napi_ok) return;
  napi_env env = self->env;
  self->owners += 1;
  self->read(self, failure, true);
  release(self);
  napi_close_handle_scope(env, scope);
}

bool watched_start(napi_env env, struct watched *self, napi_value buffer, napi_value callback) {
  if (self->fd < 0 || self->handle != NULL) {
    throw_errno(env, "start", self->fd < 0 ? EBADF : EALREADY);
    return false;
  }
  napi_value name;
  if (napi_create_string_utf8(env, "RAW_SOCKET", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, NULL, name, &self->context) != napi_ok ||
      napi_create_reference(env, callback, 1, &self->callback) != napi_ok ||
      napi_create_reference(env, buffer, 1, &self->buffer) != napi_ok) {
    watched_close(self);
    throw_argument(env, "expected an ArrayBuffer and a function");
    return false;
  }
  uv_poll_t *handle = calloc(1, uv_handle_size(UV_POLL_TYPE));
  int error_number = handle == NULL ? -ENOMEM : uv_poll_init(self->state->loop, handle, self->fd);
  if (error_number != 0) {
    free(handle);
    watched_close(self);
    throw_errno(env, "uv_poll_init", -error_number);
    return false;
  }
  uv_handle_set_data((uv_handle_t *)handle, self);
  self->handle = handle;
  self->owners += 1;
  error_number = uv_poll_start(handle, UV_READABLE_EVENT, on_ready);
  if (error_number != 0) {
    watched_close(self);
    throw_errno(env, "uv_poll_start", -error_number);
    return false;
  }
  return true;
}

static void drop_reference(napi_env env, napi_ref *reference) {
  if (*reference != NULL) napi_delete_reference(env, *reference);
  *reference = NULL;
}

void watched_close(struct watched *self) {
  if (self->fd < 0) return;
  if (self->previous != NULL) self->previous->next = self->next;
  else self->state->open = self->next;
  if (self->next != NULL) self->next->previous = self->previous;
  self->previous = self->next = NULL;
  if (self->handle != NULL) {
    uv_poll_stop(self->handle);
    self->state->closing += 1;
    uv_close((uv_handle_t *)self->handle, on_closed);
  }
  close(self->fd);
  self->fd = -1;
  drop_reference(self->env, &self->callback);
  drop_reference(self->env, &self->buffer);
  if (self->context != NULL) napi_async_destroy(self->env, self->context);
  self->context = NULL;
}

uint8_t *watched_buffer(struct watched *self, size_t least) {
  napi_value buffer;
  void *data = NULL;
  size_t length = 0;
  if (self->buffer == NULL || napi_get_reference_value(self->env, self->buffer, &buffer) != napi_ok ||
      buffer == NULL || napi_get_arraybuffer_info(self->env, buffer, &data, &length) != napi_ok || length < least) {
    return NULL;
  }
  return data;
}

bool watched_report(struct watched *self, bool in_loop, double first, double second) {
  napi_env env = self->env;
  napi_handle_scope scope;
  napi_value callback, receiver, arguments[2];
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  bool called = false;
  if (napi_get_reference_value(env, self->callback, &callback) == napi_ok && callback != NULL &&
      napi_get_global(env, &receiver) == napi_ok && napi_create_double(env, first, &arguments[0]) == napi_ok &&
      napi_create_double(env, second, &arguments[1]) == napi_ok) {
    if (in_loop) {
      called = napi_make_callback(env, self->context, receiver, callback, 2, arguments, NULL) == napi_ok;
      bool pending = false;
      if (!called && napi_is_exception_pending(env, &pending) == napi_ok && pending) {
        napi_value thrown;
        if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
      }
    } else {
      called = napi_call_function(env, receiver, callback, 2, arguments, NULL) == napi_ok;
    }
  }
  napi_close_handle_scope(env, scope);
  return called;
}
