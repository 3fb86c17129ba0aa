import { request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import { MetricRegistry, registerProcessMetrics, serveHttp, silentLogger } from '../../src/base/index.ts';

function get(port: number, path: string, method = 'GET'): Promise<{ status: number; type: string; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

describe('serveHttp', () => {
  test('routes, JSON, errors, unknown paths and other methods', async () => {
    const server = await serveHttp({
      port: 0,
      logger: silentLogger,
      routes: {
        '/ok': { answer: () => ({ body: 'fine\n' }) },
        '/json': { loopbackOnly: true, answer: (url) => ({ body: { q: url.searchParams.get('q') } }) },
        '/broken': { answer: () => Promise.reject(new Error('no luck')) },
      },
    });
    try {
      expect(await get(server.port, '/ok')).toMatchObject({ status: 200, body: 'fine\n' });
      expect(await get(server.port, '/json?q=1')).toMatchObject({ type: 'application/json', body: '{"q":"1"}\n' });
      expect(await get(server.port, '/broken')).toMatchObject({ status: 500, body: 'no luck\n' });
      expect(await get(server.port, '/nope')).toMatchObject({ status: 404 });
      expect(await get(server.port, '/constructor')).toMatchObject({ status: 404 });
      expect(await get(server.port, '/ok', 'POST')).toMatchObject({ status: 405 });
    } finally {
      await server.close();
    }
  });

  test('a taken port is named', async () => {
    const first = await serveHttp({ port: 0, logger: silentLogger, routes: {} });
    try {
      await expect(serveHttp({ port: first.port, logger: silentLogger, routes: {} })).rejects.toThrow(
        new RegExp(`:${first.port}; choose another --http-port`),
      );
    } finally {
      await first.close();
    }
  });

  test('loopback-only paths do not exist for other hosts', async () => {
    const own = Object.values(networkInterfaces())
      .flat()
      .find((address) => address && !address.internal && address.family === 'IPv4')?.address;
    const server = await serveHttp({
      port: 0,
      logger: silentLogger,
      routes: { '/status': { loopbackOnly: true, answer: () => ({ body: 'secret' }) } },
    });
    try {
      expect(await get(server.port, '/status')).toMatchObject({ status: 200 });
      if (own === undefined) return;
      const status = await new Promise((resolve, reject) => {
        request({ host: own, port: server.port, path: '/status', agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end();
      });
      expect(status).toBe(404);
    } finally {
      await server.close();
    }
  });
});

describe('MetricRegistry', () => {
  test('writes the text exposition format', () => {
    const registry = new MetricRegistry();
    const requests = registry.counter({ name: 'b_total', help: 'Two\nlines.', labels: ['verb'] });
    requests.inc(['get']);
    requests.inc(['p"ut\\\n'], 2);
    registry.gauge({ name: 'a', help: 'A.', collect: () => [{ value: 1.5 }] });
    const histogram = registry.histogram({ name: 'c', help: 'C.', buckets: [1, 2] });
    for (const value of [0.5, 1.5, 9]) histogram.observe(value);
    expect(registry.text()).toBe(
      [
        '# HELP a A.',
        '# TYPE a gauge',
        'a 1.5',
        '# HELP b_total Two\\nlines.',
        '# TYPE b_total counter',
        'b_total{verb="get"} 1',
        'b_total{verb="p\\"ut\\\\\\n"} 2',
        '# HELP c C.',
        '# TYPE c histogram',
        'c_bucket{le="1"} 1',
        'c_bucket{le="2"} 2',
        'c_bucket{le="+Inf"} 3',
        'c_sum 11',
        'c_count 3',
        '',
      ].join('\n'),
    );
    expect(requests.value(['get'])).toBe(1);
    expect(() => registry.counter({ name: 'a', help: '' })).toThrow(/twice/);
  });
  test('a counter without labels is zero before it counts', () => {
    const registry = new MetricRegistry();
    registry.counter({ name: 'x_total', help: 'X.' });
    registerProcessMetrics(registry, '1.2.3');
    expect(registry.text()).toContain('\nx_total 0\n');
    expect(registry.text()).toMatch(/ovenbird_build_info\{version="1.2.3",node="v24/);
  });
});
