/*
 * The deadline gate: the right to send, with an end that needs nobody's help to come.
 *
 * CLOCK_BOOTTIME, so that suspended time counts. A gate that has run out cannot be extended, only opened anew: after a
 * stall the first timer to fire must not give back a right that others have taken over meanwhile.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct gate {
  struct object object;
  int64_t deadline; /* nanoseconds of CLOCK_BOOTTIME; 0 when closed */
};

int64_t boottime_nanoseconds(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) return INT64_MAX; /* no clock: every gate is shut */
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool gate_is_open(const void *gate) { return boottime_nanoseconds() < ((const struct gate *)gate)->deadline; }

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

napi_value gate_create(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value external;
  struct gate *gate = calloc(1, sizeof *gate);
  if (gate == NULL) return throw_errno(env, "malloc", ENOMEM);
  gate->object.kind = OBJECT_GATE;
  if (napi_create_external(env, gate, on_collected, NULL, &external) != napi_ok) {
    free(gate);
    return throw_errno(env, "malloc", ENOMEM);
  }
  return external;
}

/* (gate, milliseconds): reads both; the time is checked by the TypeScript face to be in (0, 1e9]. */
static struct gate *read_extension(napi_env env, napi_callback_info info, int64_t *nanoseconds) {
  napi_value arguments[2];
  double milliseconds;
  if (!read_arguments(env, info, 2, arguments)) return NULL;
  struct gate *gate = read_object(env, arguments[0], OBJECT_GATE);
  if (gate == NULL) return NULL;
  if (napi_get_value_double(env, arguments[1], &milliseconds) != napi_ok || !(milliseconds > 0 && milliseconds <= 1e9)) {
    throw_argument(env, "expected milliseconds in (0, 1e9]");
    return NULL;
  }
  *nanoseconds = (int64_t)(milliseconds * 1e6);
  return gate;
}

napi_value gate_open(napi_env env, napi_callback_info info) {
  int64_t nanoseconds;
  struct gate *gate = read_extension(env, info, &nanoseconds);
  if (gate == NULL) return NULL;
  int64_t now = boottime_nanoseconds();
  gate->deadline = now == INT64_MAX ? 0 : now + nanoseconds;
  return NULL;
}

napi_value gate_extend(napi_env env, napi_callback_info info) {
  int64_t nanoseconds;
  napi_value result;
  struct gate *gate = read_extension(env, info, &nanoseconds);
  if (gate == NULL) return NULL;
  int64_t now = boottime_nanoseconds();
  bool open = now < gate->deadline;
  gate->deadline = open ? now + nanoseconds : 0;
  return napi_get_boolean(env, open, &result) == napi_ok ? result : NULL;
}

napi_value gate_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct gate *gate = read_object(env, argument, OBJECT_GATE);
  if (gate != NULL) gate->deadline = 0;
  return NULL;
}

napi_value gate_remaining(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!read_arguments(env, info, 1, &argument)) return NULL;
  struct gate *gate = read_object(env, argument, OBJECT_GATE);
  if (gate == NULL) return NULL;
  int64_t left = gate->deadline - boottime_nanoseconds();
  return number_value(env, left > 0 ? (double)left / 1e6 : 0);
}
