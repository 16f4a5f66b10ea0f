import { el } from '../../wire/nodes.js';

/** Where media goes. @type {import('./index.js').Handler} */
export const mediaConnection = ({ net }) => [
  el('media_conn', { auth: 'simulated', ttl: '3600', auth_ttl: '21600', max_buckets: '12', id: '1' }, [
    el('host', { hostname: net.mediaHost, maxContentLengthBytes: String(64 * 1024 * 1024) }),
  ]),
];
