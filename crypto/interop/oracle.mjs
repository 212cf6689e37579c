#!/usr/bin/env node
// JSON-lines test oracle over the public API of @signalapp/libsignal-client.
//
//   node oracle.mjs --version 0.103.0      one of the versions pinned in package.json
//
// One request per line on stdin:   {"id":1,"op":"...","party":"alice", ...}
// One answer per line on stdout:   {"id":1,"ok":true, ...} | {"id":1,"ok":false,"error":"...","code":N}
// Bytes are base64. "party" names an in-memory participant (default "me"); one process can
// host many. Public keys on the wire are 33 bytes (0x05 || X25519 u), private keys 32 bytes,
// Kyber public keys 1569 bytes (0x08 || key).
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { akey, stores } from './stores.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const version = process.argv[process.argv.indexOf('--version') + 1];
const pkgDir = path.join(here, 'node_modules', `libsignal-${version}`);
const pkg = JSON.parse(fs.readFileSync(path.join(pkgDir, 'package.json'), 'utf8'));
const S = await import(pathToFileURL(path.join(pkgDir, pkg.main)).href);

// ---- API generations -------------------------------------------------------------------------
// 0.74..0.8x had an explicit switch for the post-quantum ratchet.
const HAS_PQSWITCH = S.UsePQRatchet !== undefined;
// The local address argument came function by function (0.92 has it in two of four), so look at
// each function's own arity.
const LOCAL = {
  bundle: !HAS_PQSWITCH && S.processPreKeyBundle.length >= 5,
  encrypt: S.signalEncrypt.length >= 5,
  decrypt: S.signalDecrypt.length >= 5,
  prekey: !HAS_PQSWITCH && S.signalDecryptPreKey.length >= 8,
};

const b64 = (b) => (b == null ? null : Buffer.from(b).toString('base64'));
const un = (s) => (s == null ? null : Buffer.from(s, 'base64'));
const need = (v, what) => { if (v === undefined || v === null) throw new Error(`missing ${what}`); return v; };
const addr = (a) => S.ProtocolAddress.new(need(a, 'address').name, a.device ?? 1);
const pub = (s) => S.PublicKey.deserialize(un(s));
const priv = (s) => S.PrivateKey.deserialize(un(s));

const { Sessions, Identities, PreKeys, SignedPreKeys, KyberPreKeys, SenderKeys } = stores(S);

class Party {
  constructor(address, key, reg) {
    this.address = address; this.nextId = 1;
    this.sessions = new Sessions(); this.ids = new Identities(key, reg);
    this.pre = new PreKeys(); this.spk = new SignedPreKeys(); this.kyber = new KyberPreKeys(); this.senderKeys = new SenderKeys();
  }
  local(f) { return LOCAL[f] ? [this.address] : []; }
}
const parties = new Map();
const P = (r) => { const p = parties.get(r.party ?? 'me'); if (!p) throw new Error(`no party ${r.party ?? 'me'}; call newIdentity first`); return p; };
const pqArg = (r) => (HAS_PQSWITCH ? [r.pqRatchet === false ? S.UsePQRatchet.No : S.UsePQRatchet.Yes] : []);

const ops = {
  hello: () => ({ version: pkg.version, node: process.version, localAddressApi: LOCAL, pqSwitch: HAS_PQSWITCH, ops: Object.keys(ops) }),

  // {party, address:{name,device}, registrationId?, privateKey?} -> keys
  newIdentity(r) {
    const key = r.privateKey ? priv(r.privateKey) : S.PrivateKey.generate();
    const reg = r.registrationId ?? 1 + Math.floor(Math.random() * 16380);
    const p = new Party(addr(r.address), key, reg);
    parties.set(r.party ?? 'me', p);
    return { identityKey: b64(key.getPublicKey().serialize()), privateKey: b64(key.serialize()), registrationId: reg };
  },

  // {party, oneTime?:true, kyber?:true, reveal?:false, signedPreKeyPrivate?, preKeyPrivate?} -> {bundle, secrets?}
  async newBundle(r) {
    const p = P(r); const id = p.nextId++; const ident = p.ids.key; const now = Date.now();
    const spk = r.signedPreKeyPrivate ? priv(r.signedPreKeyPrivate) : S.PrivateKey.generate();
    const spkSig = ident.sign(spk.getPublicKey().serialize());
    await p.spk.saveSignedPreKey(id, S.SignedPreKeyRecord.new(id, now, spk.getPublicKey(), spk, spkSig));
    const bundle = {
      registrationId: p.ids.reg, deviceId: p.address.deviceId(), identityKey: b64(ident.getPublicKey().serialize()),
      signedPreKeyId: id, signedPreKey: b64(spk.getPublicKey().serialize()), signedPreKeySignature: b64(spkSig),
    };
    const secrets = { signedPreKey: b64(spk.serialize()) };
    if (r.oneTime !== false) {
      const k = r.preKeyPrivate ? priv(r.preKeyPrivate) : S.PrivateKey.generate();
      await p.pre.savePreKey(id, S.PreKeyRecord.new(id, k.getPublicKey(), k));
      Object.assign(bundle, { preKeyId: id, preKey: b64(k.getPublicKey().serialize()) });
      secrets.preKey = b64(k.serialize());
    }
    if (r.kyber !== false) {
      const k = S.KEMKeyPair.generate(); const sig = ident.sign(k.getPublicKey().serialize());
      await p.kyber.saveKyberPreKey(id, S.KyberPreKeyRecord.new(id, now, k, sig));
      Object.assign(bundle, { kyberPreKeyId: id, kyberPreKey: b64(k.getPublicKey().serialize()), kyberPreKeySignature: b64(sig) });
      secrets.kyberSecret = b64(k.getSecretKey().serialize());
    }
    return r.reveal ? { bundle, secrets } : { bundle };
  },

  // {party, address, bundle, pqRatchet?} : start a session as initiator
  async processBundle(r) {
    const p = P(r); const b = need(r.bundle, 'bundle');
    const kyber = b.kyberPreKey ? [b.kyberPreKeyId, S.KEMPublicKey.deserialize(un(b.kyberPreKey)), un(b.kyberPreKeySignature)] : [];
    const nb = S.PreKeyBundle.new(b.registrationId, b.deviceId ?? 1, b.preKeyId ?? null, b.preKey ? pub(b.preKey) : null,
      b.signedPreKeyId, pub(b.signedPreKey), un(b.signedPreKeySignature), pub(b.identityKey), ...kyber);
    await S.processPreKeyBundle(nb, addr(r.address), ...p.local('bundle'), p.sessions, p.ids, ...pqArg(r));
    return {};
  },

  // {party, address, plaintext} -> {type:2|3, message}
  async encrypt(r) {
    const p = P(r);
    const c = await S.signalEncrypt(un(r.plaintext), addr(r.address), ...p.local('encrypt'), p.sessions, p.ids);
    return { type: c.type(), message: b64(c.serialize()) };
  },

  // {party, address, type, message} -> {plaintext}
  async decrypt(r) {
    const p = P(r); const a = addr(r.address); const m = un(r.message);
    let out;
    if (r.type === S.CiphertextMessageType.PreKey)
      out = await S.signalDecryptPreKey(S.PreKeySignalMessage.deserialize(m), a, ...p.local('prekey'), p.sessions, p.ids, p.pre, p.spk, p.kyber, ...pqArg(r));
    else if (r.type === S.CiphertextMessageType.Whisper)
      out = await S.signalDecrypt(S.SignalMessage.deserialize(m), a, ...p.local('decrypt'), p.sessions, p.ids);
    else throw new Error(`decrypt: type ${r.type}`);
    return { plaintext: b64(out) };
  },

  // {type, message} -> header facts as libsignal reads them
  inspect(r) {
    const m = un(r.message);
    if (r.type === 3) { const k = S.PreKeySignalMessage.deserialize(m); return { version: k.version(), preKeyId: k.preKeyId(), signedPreKeyId: k.signedPreKeyId(), registrationId: k.registrationId() }; }
    if (r.type === 2) { const k = S.SignalMessage.deserialize(m); return { version: k.messageVersion(), counter: k.counter(), bodyLen: k.body().length, pqRatchet: k.pqRatchet ? b64(k.pqRatchet()) : null }; }
    const k = S.SenderKeyMessage.deserialize(m); return { distributionId: k.distributionId(), chainId: k.chainId(), iteration: k.iteration(), bodyLen: k.ciphertext().length };
  },

  // {party, distributionId(uuid text)} -> {message}   (sender = own address)
  async senderKeyDistributionCreate(r) { const p = P(r); return { message: b64((await S.SenderKeyDistributionMessage.create(p.address, r.distributionId, p.senderKeys)).serialize()) }; },
  // {party, address(sender), message}
  async senderKeyDistributionProcess(r) { const p = P(r); await S.processSenderKeyDistributionMessage(addr(r.address), S.SenderKeyDistributionMessage.deserialize(un(r.message)), p.senderKeys); return {}; },
  async groupEncrypt(r) { const p = P(r); const c = await S.groupEncrypt(p.address, r.distributionId, p.senderKeys, un(r.plaintext)); return { type: c.type(), message: b64(c.serialize()) }; },
  async groupDecrypt(r) { const p = P(r); return { plaintext: b64(await S.groupDecrypt(addr(r.address), p.senderKeys, un(r.message))) }; },

  // {localId, localKey, remoteId, remoteKey, version?:2, iterations?:5200}; ids are base64 bytes
  fingerprint(r) {
    const f = S.Fingerprint.new(r.iterations ?? 5200, r.version ?? 2, un(r.localId), pub(r.localKey), un(r.remoteId), pub(r.remoteKey));
    return { display: f.displayableFingerprint().toString(), scannable: b64(f.scannableFingerprint().toBuffer()) };
  },
  fingerprintCompare: (r) => {
    const f = S.Fingerprint.new(r.iterations ?? 5200, r.version ?? 2, un(r.localId), pub(r.localKey), un(r.remoteId), pub(r.remoteKey));
    return { equal: f.scannableFingerprint().compare({ scannable: un(r.scannable) }) };
  },

  // primitives, to check a layer at a time
  generateKey: () => { const k = S.PrivateKey.generate(); return { privateKey: b64(k.serialize()), publicKey: b64(k.getPublicKey().serialize()) }; },
  publicKey: (r) => ({ publicKey: b64(priv(r.privateKey).getPublicKey().serialize()) }),
  sign: (r) => ({ signature: b64(priv(r.privateKey).sign(un(r.message))) }),
  verify: (r) => ({ valid: pub(r.publicKey).verify(un(r.message), un(r.signature)) }),
  agree: (r) => ({ secret: b64(priv(r.privateKey).agree(pub(r.publicKey))) }),
  hkdf: (r) => ({ output: b64(S.hkdf(r.length, un(r.ikm), un(r.info), r.salt ? un(r.salt) : null)) }),

  // {rounds} -> microseconds of processor time of each operation, measured in here, without the
  // pipe. The stores keep serialized records, as any user of the library must.
  async benchmark(r) {
    const n = r.rounds ?? 200, many = 5 * n;
    const text = un(r.plaintext) ?? Buffer.alloc(120, 7);
    const a = { name: 'bench-a', device: 1 }, b = { name: 'bench-b', device: 1 };
    for (const [party, address] of [['bench-a', a], ['bench-b', b]]) ops.newIdentity({ party, address });
    const out = {};
    const time = async (name, count, f) => {
      const from = process.cpuUsage();
      await f();
      const { user, system } = process.cpuUsage(from);
      out[name] = (user + system) / count;
    };
    const bundles = []; for (let i = 0; i < n; i++) bundles.push((await ops.newBundle({ party: 'bench-b' })).bundle);
    const send = (from, to) => { const p = parties.get(from); return S.signalEncrypt(text, addr(to), ...p.local('encrypt'), p.sessions, p.ids); };
    const receive = async (at, from, c) => {
      const p = parties.get(at), m = c.serialize();
      return c.type() === S.CiphertextMessageType.PreKey
        ? S.signalDecryptPreKey(S.PreKeySignalMessage.deserialize(m), addr(from), ...p.local('prekey'), p.sessions, p.ids, p.pre, p.spk, p.kyber, ...pqArg(r))
        : S.signalDecrypt(S.SignalMessage.deserialize(m), addr(from), ...p.local('decrypt'), p.sessions, p.ids);
    };
    await time('setUp', n, async () => { for (const bundle of bundles) {
      parties.get('bench-a').sessions.m.clear(); parties.get('bench-b').sessions.m.clear();
      await ops.processBundle({ party: 'bench-a', address: b, bundle });
      await receive('bench-b', a, await send('bench-a', b));
    } });
    await receive('bench-a', b, await send('bench-b', a));
    await time('alternating', 2 * n, async () => { for (let i = 0; i < n; i++) { await receive('bench-b', a, await send('bench-a', b)); await receive('bench-a', b, await send('bench-b', a)); } });
    let burst = [];
    await time('encrypt', many, async () => { for (let i = 0; i < many; i++) burst.push(await send('bench-a', b)); });
    await time('decrypt', many, async () => { for (const c of burst) await receive('bench-b', a, c); });
    const id = 'd1d1d1d1-7000-11eb-b32a-33b8a8a487a6';
    const { message } = await ops.senderKeyDistributionCreate({ party: 'bench-a', distributionId: id });
    await ops.senderKeyDistributionProcess({ party: 'bench-b', address: a, message });
    const pa = parties.get('bench-a'), pb = parties.get('bench-b'); burst = [];
    await time('groupEncrypt', many, async () => { for (let i = 0; i < many; i++) burst.push((await S.groupEncrypt(pa.address, id, pa.senderKeys, text)).serialize()); });
    await time('groupDecrypt', many, async () => { for (const c of burst) await S.groupDecrypt(addr(a), pb.senderKeys, c); });
    // One native call each: what the binding costs is least here.
    const key = S.PrivateKey.generate(), other = S.PrivateKey.generate().getPublicKey(), own = key.getPublicKey();
    let signature;
    await time('agree', many, () => { for (let i = 0; i < many; i++) key.agree(other); });
    await time('sign', many, () => { for (let i = 0; i < many; i++) signature = key.sign(text); });
    await time('verify', many, () => { for (let i = 0; i < many; i++) own.verify(text, signature); });
    return out;
  },

  // debugging aids
  exportSession: async (r) => { const p = P(r); return { record: b64(p.sessions.m.get(akey(addr(r.address)))) }; },
  importSession: async (r) => { const p = P(r); p.sessions.m.set(akey(addr(r.address)), un(r.record)); return {}; },
  forgetIdentity: (r) => { P(r).ids.m.delete(akey(addr(r.address))); return {}; },
  counts: (r) => { const p = P(r); return { preKeys: p.pre.m.size, signedPreKeys: p.spk.m.size, kyberPreKeys: p.kyber.m.size, sessions: p.sessions.m.size, senderKeys: p.senderKeys.m.size }; },
};

if (process.env.ORACLE_LOG && S.initLogger) S.initLogger(S.LogLevel.Info, (_l, t, f, n, m) => process.stderr.write(`${t} ${m}\n`));
for await (const line of readline.createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  let r = {}; let out;
  try {
    r = JSON.parse(line);
    const f = ops[r.op]; if (typeof f !== 'function') throw new Error(`unknown op ${r.op}`);
    out = { id: r.id, ok: true, ...(await f(r)) };
  } catch (e) { out = { id: r.id, ok: false, error: String(e?.message ?? e), code: e?.code }; }
  process.stdout.write(JSON.stringify(out) + '\n');
}
