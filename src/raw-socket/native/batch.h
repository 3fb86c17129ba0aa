/*
 * Sockets that hand JavaScript a batch of packets at a time.
 *
 * Shared memory with JavaScript: one ArrayBuffer. First BATCH records of `record_bytes` each, of a layout that each kind
 * of socket has for itself, then BATCH slots of `slot_bytes` each. A callback (count, 0) says that the first `count`
 * records are filled; (0, errno) reports an error of the socket.
 */
#ifndef RAW_SOCKET_BATCH_H
#define RAW_SOCKET_BATCH_H

#include "addon.h"

#include <sys/socket.h>

#define BATCH 32u
/* Batches handled in one go before timers and other sockets get their turn. */
#define BATCH_ROUNDS 8

struct batch_socket {
  struct watched watched;
  size_t slot_bytes;
  int rounds;        /* of the next read */
  uint32_t received; /* from the kernel, in the last read */
  const struct batch_kind *kind;
};

/*
 * What a kind of socket does in its own way. `receive` calls batch_receive, fills records and says in `kept` how many;
 * it returns how many messages the kernel had, or -1 with errno. `failure` gives the errno to report for one.
 */
struct batch_kind {
  enum object_kind object;
  const char *name;
  size_t record_bytes, least_slot_bytes;
  int (*receive)(struct batch_socket *self, uint8_t *memory, uint32_t *kept);
  int (*failure)(struct batch_socket *self, int error_number);
};

/* Where the kernel puts names and control messages: BATCH of each, one after the other. */
struct batch_room {
  void *names;
  size_t name_bytes;
  void *control;
  size_t control_bytes;
};

/* As watched_wrap; `self` is zeroed. */
napi_value batch_wrap(napi_env env, struct batch_socket *self, const struct batch_kind *kind, int fd);
/* The socket behind an external, NULL with an exception pending when it is of another kind or closed. */
void *batch_read_object(napi_env env, napi_value value, const struct batch_kind *kind);
/* The arguments (socket, buffer: ArrayBuffer, slotBytes, callback). */
napi_value batch_start(napi_env env, napi_callback_info info, const struct batch_kind *kind);
/* Delivers what is queued now, at most `rounds` batches, in this call; gives how many messages the kernel had. */
uint32_t batch_drain(struct batch_socket *self, int rounds);
/* The argument (socket). */
napi_value batch_close(napi_env env, napi_callback_info info, const struct batch_kind *kind);
/* One recvmmsg into the slots of `memory`. Returns how many, or -1 with errno. */
int batch_receive(struct batch_socket *self, uint8_t *memory, const struct batch_room *room,
                  struct mmsghdr messages[BATCH]);

#endif
