import { getBinaryNodeChild } from 'baileys';
import { intercept } from './intercept.js';

const LINK_CODE_PARTS = ['link_code_pairing_ref', 'primary_identity_pub', 'link_code_pairing_wrapped_primary_ephemeral_pub'];
const PASSKEY = /^(passkey_prologue_request|crsc_continuation)$/;

/**
 * Two notifications that Baileys cannot take:
 * - #2694: a `link_code_companion_reg` without its keys ("Invalid buffer") breaks linking by code; it means nothing and is acked.
 * - WhatsApp asks some accounts for a passkey; Baileys ignores it and shows QR after QR. The caller is told instead.
 * @param {any} sock @param {() => void} passkeyAsked
 */
export function guardNotifications(sock, passkeyAsked) {
  intercept(sock.ws, 'CB:notification', (node, next) => {
    if (isEmptyLinkCode(node)) return acknowledge(sock, node);
    if (!PASSKEY.test(node.attrs.type ?? '')) return next();
    acknowledge(sock, node);
    passkeyAsked();
  });
}

/** @param {any} node */
function isEmptyLinkCode(node) {
  if (node.attrs.type !== 'link_code_companion_reg') return false;
  const inner = getBinaryNodeChild(node, 'link_code_companion_reg');
  return LINK_CODE_PARTS.some((part) => !getBinaryNodeChild(inner, part)?.content);
}

/** Baileys' own ack needs an account, which there is none of while linking. @param {any} sock @param {any} node */
function acknowledge(sock, node) {
  const { id, from, type } = node.attrs;
  sock.sendNode({ tag: 'ack', attrs: { id, to: from, class: 'notification', type } }).catch(() => {});
}
