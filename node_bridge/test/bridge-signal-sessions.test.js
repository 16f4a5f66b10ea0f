import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Curve, generateRegistrationId, signedKeyPair } from 'baileys';
import { ProtocolAddress, SessionBuilder, SessionCipher, SessionRecord } from 'libsignal';
import { silenceConsole } from '../src/engine/traps/console.js';
import { keepSessionsWhole } from '../src/engine/traps/signal-sessions.js';
import { makeLog } from '../src/log.js';

/** One side of a chat: its keys and its one session, as a store would hold them. */
class Side {
  identity = Curve.generateKeyPair();
  signedPreKey = signedKeyPair(this.identity, 1);
  registration = generateRegistrationId();
  /** @type {Map<number | string, any>} */ preKeys = new Map();
  /** @type {any} */ record;

  /** @param {string} other */
  constructor(other) {
    this.address = new ProtocolAddress(other, 0);
    this.storage = /** @type {any} */ ({
      loadSession: async () => this.record && SessionRecord.deserialize(this.record),
      storeSession: async (/** @type {string} */ _id, /** @type {any} */ record) => void (this.record = record.serialize()),
      isTrustedIdentity: () => true,
      loadPreKey: async (/** @type {number} */ id) => this.preKeys.get(id),
      removePreKey: (/** @type {number} */ id) => void this.preKeys.delete(id),
      loadSignedPreKey: () => pair(this.signedPreKey.keyPair),
      getOurRegistrationId: () => this.registration,
      getOurIdentity: () => ({ ...pair(this.identity), pubKey: typed(this.identity.public) }),
    });
    this.cipher = new SessionCipher(this.storage, this.address);
  }

  /** A new session with the other side, as with the answer to a question for its keys. @param {Side} other */
  begin(other) {
    const [keyId, preKey] = [other.preKeys.size + 1, Curve.generateKeyPair()];
    other.preKeys.set(keyId, pair(preKey));
    return new SessionBuilder(this.storage, this.address).initOutgoing(/** @type {any} */ ({
      registrationId: other.registration,
      identityKey: typed(other.identity.public),
      signedPreKey: { keyId: 1, publicKey: typed(other.signedPreKey.keyPair.public), signature: other.signedPreKey.signature },
      preKey: { keyId, publicKey: typed(preKey.public) },
    }));
  }

  /** @param {string} text @returns {Promise<{type: number, body: any}>} */
  write(text) {
    return /** @type {any} */ (this.cipher.encrypt(Buffer.from(text)));
  }

  /** @param {{type: number, body: any}} message */
  async read({ type, body }) {
    const bytes = Buffer.from(body, 'binary');
    return String(type === 3 ? await this.cipher.decryptPreKeyWhisperMessage(bytes) : await this.cipher.decryptWhisperMessage(bytes));
  }
}

/** @param {{public: Uint8Array, private: Uint8Array}} keys */
const pair = (keys) => ({ pubKey: Buffer.from(keys.public), privKey: Buffer.from(keys.private) });

/** @param {Uint8Array} key */
const typed = (key) => Buffer.concat([Buffer.of(5), key]);

describe('Signal sessions', () => {
  before(() => {
    silenceConsole(makeLog('silent'));
    keepSessionsWhole();
  });

  /** Who have written to each other. */
  async function chat() {
    const [we, they] = [new Side('them'), new Side('us')];
    await we.begin(they);
    await they.read(await we.write('the first'));
    await we.read(await they.write('an answer'));
    return { we, they };
  }

  it("a customer's message that crosses a new session leaves that one whole", async () => {
    const { we, they } = await chat();
    const crossing = await they.write('on the old session');
    await we.begin(they);
    assert.equal(await we.read(crossing), 'on the old session');
    assert.equal(await they.read(await we.write('on the new one')), 'on the new one');
    assert.equal(await we.read(await they.write('and back')), 'and back');
  });

  it('a message that fits none is refused, and changes none', async () => {
    const { we, they } = await chat();
    await we.begin(they);
    const known = structuredClone(we.record);
    const { they: stranger } = await chat();
    await assert.rejects(we.read(await stranger.write('for somebody else')), /No matching sessions/);
    assert.deepEqual(we.record, known);
  });

  it('a message that comes again is told apart from one that fits none, with a new session beside its own, too', async () => {
    const { we, they } = await chat();
    const message = await they.write('once');
    assert.equal(await we.read(message), 'once');
    await assert.rejects(we.read(message), { name: 'MessageCounterError' });
    await we.begin(they);
    const known = structuredClone(we.record);
    await assert.rejects(we.read(message), { name: 'MessageCounterError' });
    assert.deepEqual(we.record, known);
  });

  it('a long chat grows no longer, and what comes late by a turn or two is read', async () => {
    const { we, they } = await chat();
    const size = () => JSON.stringify(we.record).length;
    /** @type {any[]} */
    const late = [];
    for (let turn = 0; turn < 60; turn += 1) {
      await they.read(await we.write(`out ${turn}`));
      const [skipped, read] = [await they.write(`late ${turn}`), await they.write(`in ${turn}`)];
      assert.equal(await we.read(read), `in ${turn}`);
      late.push(skipped);
    }
    assert.ok(size() < 3_000, `${size()} characters`);
    for (const turn of [57, 58, 59]) assert.equal(await we.read(late[turn]), `late ${turn}`);
  });
});
