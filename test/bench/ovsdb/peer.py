"""The same work by python3-openvswitch: peer.py WORK ENDPOINT ROWS. Prints one line of JSON."""
import json
import resource
import sys
import time

import ovs.db.idl
import ovs.poller

SCHEMA = '/usr/share/ovn/ovn-nb.ovsschema'
COLUMNS = ['name', 'vips', 'protocol', 'options', 'external_ids']


def rss_mb():
    with open('/proc/self/statm') as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


def report(**figures):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps(dict(figures, rssMb=rss_mb(), peakMb=peak)), flush=True)


def run_until(idl, condition):
    while True:
        idl.run()
        if condition():
            return
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.block()


def main():
    work, endpoint, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    helper = ovs.db.idl.SchemaHelper(SCHEMA)
    helper.register_columns('Load_Balancer', COLUMNS)
    start = time.monotonic()
    base = rss_mb()
    idl = ovs.db.idl.Idl(endpoint, helper)
    run_until(idl, idl.has_ever_connected)
    table = idl.tables['Load_Balancer'].rows
    if work == 'insert':
        for first in range(0, rows, 100):
            txn = ovs.db.idl.Transaction(idl)
            for i in range(first, min(rows, first + 100)):
                row = txn.insert(idl.tables['Load_Balancer'])
                row.name = 'svc-%d' % i
                row.protocol = 'tcp'
                row.vips = {'172.%d.%d.%d:80' % (18 + i // 62500, i // 250 % 250, i % 250):
                            ','.join('10.16.%d.%d:8080' % (i % 250, n + 1) for n in range(5))}
                row.options = {'reject': 'true', 'neighbor_responder': 'none'}
                row.external_ids = {'owner': 'bench', 'service': 'default/svc-%d' % i}
            if txn.commit_block() != ovs.db.idl.Transaction.SUCCESS:
                raise SystemExit('insert failed')
        report(ms=(time.monotonic() - start) * 1000)
        return
    run_until(idl, lambda: len(table) == rows)
    if work == 'initial':
        report(ms=(time.monotonic() - start) * 1000, baseMb=base)
        return
    print('ready', flush=True)
    some = next(iter(table.values()))
    run_until(idl, lambda: 'round' in some.external_ids)
    first = time.monotonic()
    # All rows of a round come in one update, which is applied as a whole.
    run_until(idl, lambda: some.external_ids.get('round') == 'last')
    report(ms=(time.monotonic() - first) * 1000)


main()
