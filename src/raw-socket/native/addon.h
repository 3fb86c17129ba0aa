/*
 * raw-socket: the part that Node cannot do itself. Everything here is thin: it opens, reads, sends and closes; formats
 * and decisions live in the TypeScript face.
 *
 * Threads: every environment (main thread, each worker) loads its own instance; nothing is shared between them, so
 * there is no lock. The per-environment state is an addon_state (napi_set_instance_data).
 */
#ifndef RAW_SOCKET_ADDON_H
#define RAW_SOCKET_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The few stable libuv entry points in use, which the node binary exports; uv.h is not needed to build. */
typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
#define UV_POLL_TYPE 8
#define UV_READABLE_EVENT 1
size_t uv_handle_size(int type);
const char *uv_handle_type_name(int type);
void uv_handle_set_data(uv_handle_t *handle, void *data);
void *uv_handle_get_data(const uv_handle_t *handle);
void uv_close(uv_handle_t *handle, void (*closed)(uv_handle_t *handle));
int uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
int uv_poll_start(uv_poll_t *handle, int events, void (*ready)(uv_poll_t *handle, int status, int events));
int uv_poll_stop(uv_poll_t *handle);

/* Raised with every change of the functions or their arguments; the loader refuses another number. */
#define RAW_SOCKET_INTERFACE_VERSION 3

/* ---- values and errors (values.c) ---- */

/* Leaves a JavaScript Error {message, syscall, errno} pending. Returns NULL, to be returned in turn. */
napi_value throw_errno(napi_env env, const char *syscall, int error_number);
/* Leaves an Error {message, syscall: "argument", errno: EINVAL} pending: a mistake of the TypeScript face. */
napi_value throw_argument(napi_env env, const char *message);
/* Reads exactly `count` arguments. On failure an exception is pending. */
bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);
bool read_int32(napi_env env, napi_value value, int32_t *result);
bool read_uint32(napi_env env, napi_value value, uint32_t *result);
/* The bytes of a Uint8Array; valid until JavaScript runs again. */
bool read_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length);
/* As read_bytes, but undefined is allowed and makes `given` false. */
bool read_optional_bytes(napi_env env, napi_value value, bool *given, uint8_t **bytes, size_t *length);
napi_value copy_bytes(napi_env env, const void *bytes, size_t length);
napi_value number_value(napi_env env, double number);

/* ---- objects handed to JavaScript as externals; the first word tells what they are ---- */

enum object_kind {
  OBJECT_GATE = 0x67617465,
  OBJECT_PACKET = 0x7061636b,
  OBJECT_NETLINK = 0x6e6c6e6b,
  OBJECT_DATAGRAM = 0x64677261,
};

struct object {
  enum object_kind kind;
};

/* The object behind an external, or NULL with an exception pending when it is of another kind. */
void *read_object(napi_env env, napi_value value, enum object_kind kind);

/* ---- descriptors watched by the event loop (watched.c) ---- */

struct watched;

struct addon_state {
  uv_loop_t *loop;
  struct watched *open;  /* list of those whose descriptor is open */
  unsigned closing;      /* uv handles whose close callback has not come */
  napi_async_cleanup_hook_handle teardown;
  bool torn_down;        /* the environment is going and all handles are closed */
  bool instance_gone;    /* the instance data was finalised */
};

/*
 * A descriptor with a uv_poll handle. Two owners keep the memory: the JavaScript external, and, from start to the close
 * callback, the event loop. `read` is called when there may be something to read; `failure` is a pending socket error
 * or 0. `in_loop` is false when JavaScript itself asked for it.
 */
struct watched {
  struct object object;
  struct addon_state *state;
  struct watched *previous, *next;
  napi_env env;
  int fd; /* -1 once closed */
  unsigned owners;
  unsigned idle_errors;
  bool reading;
  uv_poll_t *handle;
  napi_ref callback;
  napi_ref buffer;
  napi_async_context context;
  void (*read)(struct watched *self, int failure, bool in_loop);
};

struct addon_state *watched_setup(napi_env env);
/* Takes over `fd` and gives back the external; on failure the descriptor is closed and an exception is pending. */
napi_value watched_wrap(napi_env env, struct watched *self, enum object_kind kind, int fd,
                        void (*read)(struct watched *self, int failure, bool in_loop));
/* Starts reading into `buffer` (an ArrayBuffer), reporting to `callback`. False with an exception pending. */
bool watched_start(napi_env env, struct watched *self, napi_value buffer, napi_value callback);
/* Idempotent. No callback comes after it. */
void watched_close(struct watched *self);
/* The memory of the shared ArrayBuffer, NULL when it was detached or is shorter than `least`. */
uint8_t *watched_buffer(struct watched *self, size_t least);
/* Calls back with two numbers. False when JavaScript threw (or may not run): stop reading. */
bool watched_report(struct watched *self, bool in_loop, double first, double second);

/* ---- exported functions ---- */

napi_value gate_create(napi_env env, napi_callback_info info);
napi_value gate_open(napi_env env, napi_callback_info info);
napi_value gate_extend(napi_env env, napi_callback_info info);
napi_value gate_close(napi_env env, napi_callback_info info);
napi_value gate_remaining(napi_env env, napi_callback_info info);
/* True while now < deadline. `gate` was read with read_object. */
bool gate_is_open(const void *gate);
int64_t boottime_nanoseconds(void);

napi_value packet_open(napi_env env, napi_callback_info info);
napi_value packet_membership(napi_env env, napi_callback_info info);
napi_value packet_start(napi_env env, napi_callback_info info);
napi_value packet_drain(napi_env env, napi_callback_info info);
napi_value packet_send(napi_env env, napi_callback_info info);
napi_value packet_hardware_address(napi_env env, napi_callback_info info);
napi_value packet_statistics(napi_env env, napi_callback_info info);
napi_value packet_close(napi_env env, napi_callback_info info);
uint32_t packet_batch(void);

napi_value datagram_open(napi_env env, napi_callback_info info);
napi_value datagram_start(napi_env env, napi_callback_info info);
napi_value datagram_drain(napi_env env, napi_callback_info info);
napi_value datagram_send(napi_env env, napi_callback_info info);
napi_value datagram_dropped(napi_env env, napi_callback_info info);
napi_value datagram_close(napi_env env, napi_callback_info info);
uint32_t datagram_batch(void);

napi_value netlink_open(napi_env env, napi_callback_info info);
napi_value netlink_start(napi_env env, napi_callback_info info);
napi_value netlink_send(napi_env env, napi_callback_info info);
napi_value netlink_close(napi_env env, napi_callback_info info);

napi_value socket_create(napi_env env, napi_callback_info info);
napi_value socket_bind(napi_env env, napi_callback_info info);
napi_value socket_set_option(napi_env env, napi_callback_info info);
napi_value socket_get_option(napi_env env, napi_callback_info info);
napi_value socket_attach_filter(napi_env env, napi_callback_info info);
napi_value socket_close(napi_env env, napi_callback_info info);
napi_value interface_index(napi_env env, napi_callback_info info);
napi_value set_realtime_priority(napi_env env, napi_callback_info info);

/* ---- memory (memory.c) ---- */

napi_value release_file_pages(napi_env env, napi_callback_info info);
napi_value boottime_ms(napi_env env, napi_callback_info info);
/* Attaches `length` / 8 instructions of classic BPF; 0 or -1 with errno. */
int attach_filter(int fd, const uint8_t *program, size_t length);

#endif
