/* The table of functions that JavaScript sees. */
#define _GNU_SOURCE
#include "addon.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the TypeScript face lays out structures little-endian");

static const struct {
  const char *name;
  napi_callback call;
} functions[] = {
    {"gateCreate", gate_create},
    {"gateOpen", gate_open},
    {"gateExtend", gate_extend},
    {"gateClose", gate_close},
    {"gateRemaining", gate_remaining},
    {"packetOpen", packet_open},
    {"packetMembership", packet_membership},
    {"packetStart", packet_start},
    {"packetDrain", packet_drain},
    {"packetSend", packet_send},
    {"packetHardwareAddress", packet_hardware_address},
    {"packetStatistics", packet_statistics},
    {"packetClose", packet_close},
    {"datagramOpen", datagram_open},
    {"datagramStart", datagram_start},
    {"datagramDrain", datagram_drain},
    {"datagramSend", datagram_send},
    {"datagramDropped", datagram_dropped},
    {"datagramClose", datagram_close},
    {"netlinkOpen", netlink_open},
    {"netlinkStart", netlink_start},
    {"netlinkSend", netlink_send},
    {"netlinkClose", netlink_close},
    {"socketCreate", socket_create},
    {"socketBind", socket_bind},
    {"socketSetOption", socket_set_option},
    {"socketGetOption", socket_get_option},
    {"socketAttachFilter", socket_attach_filter},
    {"socketClose", socket_close},
    {"interfaceIndex", interface_index},
    {"setRealtimePriority", set_realtime_priority},
    {"boottimeMs", boottime_ms},
    {"releaseFilePages", release_file_pages},
};

static bool set_number(napi_env env, napi_value exports, const char *name, double number) {
  napi_value value = number_value(env, number);
  return value != NULL && napi_set_named_property(env, exports, name, value) == napi_ok;
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports);
__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void);

int32_t node_api_module_get_api_version_v1(void) { return NAPI_VERSION; }

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  const char *kind = uv_handle_type_name(UV_POLL_TYPE);
  if (kind == NULL || strcmp(kind, "poll") != 0) return throw_argument(env, "this runtime's libuv is of another layout");
  if (watched_setup(env) == NULL) return NULL;
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) {
      return NULL;
    }
  }
  if (!set_number(env, exports, "interfaceVersion", RAW_SOCKET_INTERFACE_VERSION) ||
      !set_number(env, exports, "packetBatch", packet_batch()) ||
      !set_number(env, exports, "datagramBatch", datagram_batch())) {
    return NULL;
  }
  return exports;
}
