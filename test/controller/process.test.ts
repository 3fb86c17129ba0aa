import { describe, expect, test } from '@jest/globals';
import { ManualClock, silentLogger, UsageError } from '../../src/base/index.ts';
import { controllerCommand, parseControllerOptions } from '../../src/controller/index.ts';
import { keepSpeakerKey } from '../../src/controller/speaker-key.ts';
import { KubeError, type Secret } from '../../src/kube/index.ts';

describe('options', () => {
  test('defaults', () => {
    expect(parseControllerOptions([], { POD_NAME: 'c-1', POD_NAMESPACE: 'ns' })).toEqual({
      namespace: 'ns',
      podName: 'c-1',
      httpPort: 7473,
      logLevel: 'info',
      loadBalancerClass: 'ovenbird.dev/loadbalancer',
      servesUnclassed: true,
      keySecret: 'ovenbird-speaker-key',
      leaseNamespace: 'ns',
      leaseName: 'ovenbird-controller',
      workers: 64,
      ovn: { mode: 'auto', remotes: [], clusterId: 'default' },
    });
  });

  test('remotes of a cluster, with TLS', () => {
    const args = [
      '--ovn-mode=full',
      '--ovn-northbound=ssl:192.0.2.1:6641, ssl:[2001:db8::1]:6641',
      '--ovn-tls-dir=/tls',
    ];
    expect(parseControllerOptions(args, {}).ovn).toEqual({
      mode: 'full',
      remotes: ['ssl:192.0.2.1:6641', 'ssl:[2001:db8::1]:6641'],
      tlsDirectory: '/tls',
      clusterId: 'default',
    });
  });

  test.each([
    [['--ovn-mode=external'], /--ovn-mode=external needs --ovn-northbound/],
    [['--ovn-mode=maybe'], /--ovn-mode=maybe: give one of auto, full, external, off/],
    [['--ovn-northbound=192.0.2.1'], /--ovn-northbound: "192\.0\.2\.1" is not tcp:HOST:PORT/],
    [['--ovn-northbound=tcp:2001:db8::1:6641'], /write IPv6 in brackets/],
    [['--ovn-northbound=ssl:192.0.2.1:6641'], /give --ovn-tls-dir/],
    [['--load-balancer-class=not a class'], /--load-balancer-class=not a class: give a class like/],
    [['--http-port=70000'], /--http-port=70000: give a whole number from 0 to 65535/],
    [['--workers=0'], /--workers=0/],
    [['--default-load-balancer-class=yes'], /--default-load-balancer-class=yes: give one of true, false/],
    [['--nonsense=1'], /--nonsense/],
  ])('%j is refused', (args, message) => {
    expect(() => parseControllerOptions(args, {})).toThrow(message);
    expect(() => parseControllerOptions(args, {})).toThrow(UsageError);
  });

  test('--help lists every option', async () => {
    let text = '';
    const print = (line: string) => {
      text += line;
    };
    expect(await controllerCommand(['--help'], {}, print, new AbortController().signal)).toBe(0);
    expect(text).toMatch(/--load-balancer-class=CLASS .*default ovenbird\.dev\/loadbalancer/);
  });
});

describe('the heartbeat key', () => {
  function setUp(secret?: Secret) {
    const clock = new ManualClock();
    const world = { secret, created: 0, failures: [] as Error[] };
    const client = {
      get: async () => {
        const failure = world.failures.shift();
        if (failure) throw failure;
        if (!world.secret) throw new KubeError('NotFound', 'x');
        return world.secret as never;
      },
      create: async (_resource: unknown, object: unknown) => {
        if (world.secret) throw new KubeError('AlreadyExists', 'x');
        world.created += 1;
        world.secret = object as Secret;
        return object as never;
      },
    };
    const stop = new AbortController();
    const options = { client, namespace: 'ns', name: 'key', clock, logger: silentLogger };
    const running = keepSpeakerKey(options, stop.signal);
    const end = async () => {
      stop.abort();
      await running;
      expect(clock.pendingTimers).toBe(0);
    };
    return { clock, world, end };
  }

  test('is made when missing, 32 bytes, and again when somebody deletes it', async () => {
    const { clock, world, end } = setUp();
    await clock.advance(1);
    const first = world.secret?.data?.key ?? '';
    expect(Buffer.from(first, 'base64')).toHaveLength(32);
    await clock.advance(600_000);
    expect(world.created).toBe(1);
    world.secret = undefined;
    await clock.advance(60_000);
    expect(world.created).toBe(2);
    expect(world.secret).not.toMatchObject({ data: { key: first } });
    await end();
  });

  test('is never changed, not even a useless one', async () => {
    const useless: Secret = { metadata: { name: 'key' }, data: { key: 'AAAA' } };
    const { clock, world, end } = setUp(useless);
    await clock.advance(600_000);
    expect(world.secret).toBe(useless);
    await end();
  });

  test('the API server away: tried again with a growing pause', async () => {
    const { clock, world, end } = setUp();
    world.failures = Array.from({ length: 5 }, () => new KubeError('Network', 'x'));
    await clock.advance(20_000);
    expect(world.created).toBe(1);
    await end();
  });
});
