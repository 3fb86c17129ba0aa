/**
 * What the segment that opened a connection tells of its sender: IP and TCP headers as TCP_SAVED_SYN gives them.
 *
 *   IPv4 = u4 version, u4 words of header, 7 bytes, u8 TTL, ...
 *   IPv6 = u4 version, 6 bytes, u8 next header, u8 hop limit, 32 bytes of addresses, extension headers
 *   TCP  = 12 bytes, u4 words of header, ..., options from byte 20: 0 end, 1 padding, else kind, length, value
 */

export interface OpeningSegment {
  /** TTL or hop limit as received. */
  ttl: number;
  /** The kind of signature it carried; the kernel has verified it. */
  signature: 'none' | 'md5' | 'ao';
}

const md5Option = 19;
const aoOption = 29;

/** Undefined for what is no SYN: nothing saved, or headers that do not parse. */
export function readSavedSyn(headers: Uint8Array): OpeningSegment | undefined {
  const version = (headers[0] ?? 0) >> 4;
  const tcp = version === 4 ? ((headers[0] ?? 0) & 15) * 4 : version === 6 ? tcpBehindIpv6(headers) : undefined;
  if (tcp === undefined || tcp < 20) return undefined;
  const ttl = headers[version === 4 ? 8 : 7];
  const words = headers[tcp + 12];
  if (ttl === undefined || words === undefined) return undefined;
  const end = tcp + (words >> 4) * 4;
  if (end < tcp + 20 || end > headers.length) return undefined;
  return { ttl, signature: signatureIn(headers.subarray(tcp + 20, end)) };
}

function signatureIn(options: Uint8Array): OpeningSegment['signature'] {
  for (let at = 0; at < options.length; ) {
    const kind = options[at];
    if (kind === 0) break;
    if (kind === md5Option) return 'md5';
    if (kind === aoOption) return 'ao';
    const length = kind === 1 ? 1 : (options[at + 1] ?? 0);
    if (kind !== 1 && length < 2) break;
    at += length;
  }
  return 'none';
}

/** Hop-by-hop (0), routing (43) and destination options (60) may stand between; RFC 8200. */
function tcpBehindIpv6(headers: Uint8Array): number | undefined {
  let next = headers[6];
  let at = 40;
  while (next === 0 || next === 43 || next === 60) {
    const words = headers[at + 1];
    next = headers[at];
    if (words === undefined) return undefined;
    at += (words + 1) * 8;
  }
  return next === 6 ? at : undefined;
}
