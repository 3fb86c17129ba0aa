import { type KubeClient, KubeError } from '../../src/kube/index.ts';

/**
 * A client whose process can die: from then on no call reaches the API server, no answer comes back and streams end.
 * What runs on in this process is a ghost that cannot touch anything.
 */
export class MortalClient {
  #dead = false;
  #calls = 0;
  /** Die at this call that writes; each counts twice, before it is sent and after its answer has come. 0: never. */
  killAt = 0;
  /** Called once, at death. */
  onDeath: () => void = () => {};

  get dead(): boolean {
    return this.#dead;
  }

  /** Points at which death was possible so far. */
  get calls(): number {
    return this.#calls;
  }

  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.onDeath();
  }

  #check(): void {
    if (this.#dead) throw new KubeError('Network', 'the process is dead');
  }

  #point(): void {
    this.#check();
    this.#calls += 1;
    if (this.#calls === this.killAt) this.kill();
    this.#check();
  }

  wrap = (client: KubeClient): KubeClient => {
    const unary = (name: 'get' | 'list' | 'create' | 'replace' | 'patch' | 'delete') => {
      return async (resource: { plural: string }, ...rest: unknown[]) => {
        // Leases are renewed by the clock; counting them would make the points differ from run to run.
        const counts = (name === 'create' || name === 'patch') && !['leases', 'secrets'].includes(resource.plural);
        if (counts) this.#point();
        this.#check();
        const call = client[name] as (...all: unknown[]) => Promise<unknown>;
        const answer = await call.call(client, resource, ...rest);
        if (counts) this.#point();
        this.#check();
        return answer;
      };
    };
    const mortal = this;
    const stream = (name: 'watch' | 'pages') =>
      async function* (...all: unknown[]) {
        mortal.#check();
        const source = client[name] as (...args: unknown[]) => AsyncGenerator<unknown>;
        for await (const item of source.apply(client, all)) {
          mortal.#check();
          yield item;
        }
      };
    return Object.assign(Object.create(client) as KubeClient, {
      counters: client.counters,
      config: client.config,
      onConnect: (listener: () => void) => client.onConnect(listener),
      get: unary('get'),
      list: unary('list'),
      create: unary('create'),
      replace: unary('replace'),
      patch: unary('patch'),
      delete: unary('delete'),
      watch: stream('watch'),
      pages: stream('pages'),
    });
  };
}
