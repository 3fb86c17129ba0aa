/* Arguments, results and errors. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static napi_value throw_error(napi_env env, const char *message, const char *syscall, int error_number) {
  napi_value text, error, name, number;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || pending) return NULL;
  if (napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) == napi_ok &&
      napi_create_error(env, NULL, text, &error) == napi_ok &&
      napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_set_named_property(env, error, "syscall", name) == napi_ok &&
      napi_create_int32(env, error_number, &number) == napi_ok &&
      napi_set_named_property(env, error, "errno", number) == napi_ok) {
    napi_throw(env, error);
  }
  return NULL;
}

napi_value throw_errno(napi_env env, const char *syscall, int error_number) {
  char message[256], reason[128];
  snprintf(message, sizeof message, "%s: %s", syscall, strerror_r(error_number, reason, sizeof reason));
  return throw_error(env, message, syscall, error_number);
}

napi_value throw_argument(napi_env env, const char *message) { return throw_error(env, message, "argument", EINVAL); }

bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) == napi_ok && given == count) return true;
  throw_argument(env, "wrong number of arguments");
  return false;
}

bool read_int32(napi_env env, napi_value value, int32_t *result) {
  if (napi_get_value_int32(env, value, result) == napi_ok) return true;
  throw_argument(env, "expected a number");
  return false;
}

bool read_uint32(napi_env env, napi_value value, uint32_t *result) {
  if (napi_get_value_uint32(env, value, result) == napi_ok) return true;
  throw_argument(env, "expected a number");
  return false;
}

bool read_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length) {
  napi_typedarray_type type;
  void *data = NULL;
  napi_value buffer;
  size_t offset;
  if (napi_get_typedarray_info(env, value, &type, length, &data, &buffer, &offset) != napi_ok ||
      type != napi_uint8_array || (data == NULL && *length > 0)) {
    throw_argument(env, "expected a Uint8Array");
    return false;
  }
  static uint8_t nothing[1];
  *bytes = data != NULL ? data : nothing;
  return true;
}

bool read_optional_bytes(napi_env env, napi_value value, bool *given, uint8_t **bytes, size_t *length) {
  napi_valuetype type;
  *given = napi_typeof(env, value, &type) != napi_ok || type != napi_undefined;
  *bytes = NULL;
  *length = 0;
  return !*given || read_bytes(env, value, bytes, length);
}

napi_value copy_bytes(napi_env env, const void *bytes, size_t length) {
  napi_value buffer, array;
  void *data = NULL;
  if (napi_create_arraybuffer(env, length, &data, &buffer) != napi_ok) return throw_errno(env, "malloc", ENOMEM);
  if (length > 0) memcpy(data, bytes, length);
  if (napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array) != napi_ok) {
    return throw_errno(env, "malloc", ENOMEM);
  }
  return array;
}

napi_value number_value(napi_env env, double number) {
  napi_value value;
  return napi_create_double(env, number, &value) == napi_ok ? value : NULL;
}

void *read_object(napi_env env, napi_value value, enum object_kind kind) {
  napi_valuetype type;
  void *data = NULL;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_external &&
      napi_get_value_external(env, value, &data) == napi_ok && data != NULL &&
      ((struct object *)data)->kind == kind) {
    return data;
  }
  throw_argument(env, "not an object of this addon, or of another kind");
  return NULL;
}
