export const usage = `Usage: bgp-speaker [OPTION]... [PREFIX]...

Announces prefixes to BGP peers until it is told to stop; what peers announce is counted and dropped.

  -a, --as NUMBER            our AS number
  -i, --id ADDRESS           our BGP identifier, an IPv4 address
  -p, --peer PEER            a peer, any number of times: ADDRESS or an interface name, then words with commas between:
                             as=NUMBER[/NUMBER]...|external|internal|any (needed), port=, passive, password=,
                             interface=, source=, multihop=TTL, ttl-security=HOPS, hold=SECONDS, name=
  -l, --listen ADDRESS[,PORT]  take connections there, any number of times; default port 179
  -r, --routes FILE          prefixes to announce, one a line ("-": standard input); read again on SIGHUP
  -n, --next-hop ADDRESS     next hop of all routes that name none, one for each family; default: our address
  -c, --community COMMUNITY  for every route, any number of times: 65000:1, 65000:1:2, rt:65000:1, no-export, ...
  -f, --config FILE          all of this and more as JSON, see below
      --text TEXT            for the operator on the other side when we end
      --drain SECONDS        on SIGTERM: how long routes are kept as going away (RFC 8326) before they go; default 5
  -j, --json                 print events as JSON, one a line
  -h, --help                 print this

A line of FILE is PREFIX and then any of: next-hop ADDRESS, community COMMUNITY, med NUMBER, local-pref NUMBER,
as-path NUMBER,NUMBER... ; "#" begins a comment.

The JSON has "localAs", "identifier", "listen": [{"address", "port"}], "routes": FILE, "drainSeconds",
"peers": [{"address", "peerAs", ...}] and "acceptPeers": [{"prefix", "peerAs", ...}] with the fields of PeerOptions.

On a terminal the sessions are shown as a table that is kept up to date; else a line for each event is printed.
SIGTERM drains the peers, then ends; SIGINT ends at once; a second signal does not wait for anything.

For example:
  bgp-speaker --as 65001 --id 192.0.2.1 --peer 192.0.2.254,as=65000 198.51.100.1/32 2001:db8::1/128
  bgp-speaker --as 65001 --id 192.0.2.1 --peer eth1,as=external --routes routes.txt --json

Exit status: 0 ended by a signal, 1 failure, 2 wrong usage.
`;
