import type { Family } from '../../net/index.ts';
import { HostCommandError, type HostCommands } from './commands.ts';

const forwarding: Record<Family, string> = {
  4: '/proc/sys/net/ipv4/ip_forward',
  6: '/proc/sys/net/ipv6/conf/all/forwarding',
};

/**
 * Sees to it that the kernel forwards: without that, packets for Services that arrive at this node die here. IPv4 is
 * turned on; IPv6 is only reported, since turning it on also stops interfaces from accepting router advertisements.
 *
 * @returns what the operator should do
 */
export async function checkForwarding(
  commands: HostCommands,
  families: readonly Family[],
  signal?: AbortSignal,
): Promise<string[]> {
  const notes: string[] = [];
  for (const family of families) {
    const path = forwarding[family];
    const options = { acceptCodes: [0, 1], ...(signal ? { signal } : {}) };
    const value = (await commands.run(['cat', path], options)).trim();
    if (value !== '0') continue;
    const name = path.slice('/proc/sys/'.length).replaceAll('/', '.');
    if (family === 6) {
      notes.push(`sysctl ${name} is 0: IPv6 packets for Services are not forwarded; set it to 1 on this node`);
      continue;
    }
    try {
      await commands.run(['sh', '-c', `echo 1 > ${path}`], signal ? { signal } : {});
    } catch (thrown) {
      if (!(thrown instanceof HostCommandError)) throw thrown;
      notes.push(
        `sysctl ${name} is 0 and cannot be changed from here: packets for Services are not forwarded; set it to 1 on this node`,
      );
    }
  }
  return notes;
}
