/** Image names of the lab. `registry.local` does not exist: everything is imported, nothing is ever pulled. */
export const pauseImage = 'registry.local/pause:1';
/** The workload of tests and demo: `netexec` answers HTTP and UDP with host name and client address. */
export const agnhostImage = 'registry.local/agnhost:2';
/** The project's own image; its tag is made of a hash of what went in, so that another build rolls out. */
export const projectImage = 'registry.local/ovenbird';
