import { Namespaces } from '../namespaces.ts';
import { OurSpeaker } from './our-speaker.ts';
import type { ProcessSettings } from './speaker-process.ts';

/** Addresses on the cable between `us` and `peer`. */
export const cable = { us: '10.0.0.1', peer: '10.0.0.2', us6: 'fd00::1', peer6: 'fd00::2' } as const;
/** Behind the router of `withRouter`. */
export const far = '10.0.1.2';

/** `us` and `peer` on a cable (interfaces eu and ep); with a router between them instead, when asked for. */
export class Lan {
  readonly namespaces: Namespaces;
  readonly #speakers: OurSpeaker[] = [];

  constructor(word: string, withRouter = false) {
    this.namespaces = new Namespaces(`bfd-${word}`);
    const { namespaces } = this;
    for (const host of withRouter ? ['us', 'router', 'peer'] : ['us', 'peer']) {
      namespaces.add(host);
      // Addresses can be used at once.
      namespaces.sysctl(host, { 'net/ipv6/conf/default/accept_dad': '0', 'net/ipv6/conf/all/accept_dad': '0' });
    }
    if (withRouter) {
      namespaces.cable('us', 'eu', 'router', 'r1');
      namespaces.cable('router', 'r2', 'peer', 'ep');
      namespaces.sysctl('router', { 'net/ipv4/ip_forward': '1' });
      namespaces.ip('router', 'addr add 10.0.0.254/24 dev r1', 'addr add 10.0.1.254/24 dev r2');
      namespaces.ip('us', `addr add ${cable.us}/24 dev eu`, 'route add default via 10.0.0.254');
      namespaces.ip('peer', `addr add ${far}/24 dev ep`, 'route add default via 10.0.1.254');
      return;
    }
    namespaces.cable('us', 'eu', 'peer', 'ep');
    namespaces.ip('us', `addr add ${cable.us}/24 dev eu`, `addr add ${cable.us6}/64 dev eu nodad`);
    namespaces.ip('peer', `addr add ${cable.peer}/24 dev ep`, `addr add ${cable.peer6}/64 dev ep nodad`);
  }

  /** Another cable: interfaces euN and epN, addresses 10.1.N.1 and 10.1.N.2. */
  another(number: number): { us: string; peer: string; ourInterface: string; peerInterface: string } {
    const { namespaces } = this;
    const made = {
      ...{ us: `10.1.${number}.1`, peer: `10.1.${number}.2` },
      ...{ ourInterface: `eu${number}`, peerInterface: `ep${number}` },
    };
    namespaces.cable('us', made.ourInterface, 'peer', made.peerInterface);
    namespaces.ip('us', `addr add ${made.us}/24 dev ${made.ourInterface}`);
    namespaces.ip('peer', `addr add ${made.peer}/24 dev ${made.peerInterface}`);
    return made;
  }

  async speaker(host: 'us' | 'peer' = 'us', settings: ProcessSettings = {}): Promise<OurSpeaker> {
    const speaker = new OurSpeaker(this.namespaces.prefix(host), settings);
    this.#speakers.push(speaker);
    await speaker.ready();
    return speaker;
  }

  /** The link-local address of an interface. */
  linkLocal(host: 'us' | 'peer'): string {
    const words = this.namespaces.run(host, ['ip', '-6', '-o', 'addr', 'show', 'scope', 'link']).split(/\s+/);
    return words[words.indexOf('inet6') + 1]?.split('/')[0] ?? '';
  }

  /** The path is gone, as far as both can see: no packet passes, and no carrier is lost that would tell. */
  cut(): void {
    for (const host of ['us', 'peer'] as const) {
      this.namespaces.run(
        host,
        ['nft', '-f', '-'],
        'table inet cut { chain in { type filter hook input priority 0; policy drop; }; }',
      );
    }
  }

  mend(): void {
    for (const host of ['us', 'peer'] as const) this.namespaces.run(host, ['nft', 'delete', 'table', 'inet', 'cut']);
  }

  async close(): Promise<void> {
    await Promise.all(this.#speakers.map((speaker) => speaker.kill()));
    await this.namespaces.close();
  }
}
