// What the official library asks its users to keep, in memory, in the form in which it would be stored.

export const akey = (a) => `${a.name()}.${a.deviceId()}`;
const text = (b) => Buffer.from(b).toString('base64');

// The stores for one version `S` of the library.
export function stores(S) {
  class Sessions extends S.SessionStore {
    m = new Map();
    async saveSession(n, r) { this.m.set(akey(n), r.serialize()); }
    async getSession(n) { const b = this.m.get(akey(n)); return b ? S.SessionRecord.deserialize(b) : null; }
    async getExistingSessions(l) { return Promise.all(l.map(async (a) => { const r = await this.getSession(a); if (!r) throw new Error(`no session ${akey(a)}`); return r; })); }
  }
  class Identities extends S.IdentityKeyStore {
    m = new Map();
    constructor(key, reg) { super(); this.key = key; this.reg = reg; }
    async getIdentityKey() { return this.key; }
    async getIdentityKeyPair() { return new S.IdentityKeyPair(this.key.getPublicKey(), this.key); }
    async getLocalRegistrationId() { return this.reg; }
    async saveIdentity(n, k) {
      const old = this.m.get(akey(n)); const b = text(k.serialize()); this.m.set(akey(n), b);
      const changed = old !== undefined && old !== b;
      return S.IdentityChange ? (changed ? S.IdentityChange.ReplacedExisting : S.IdentityChange.NewOrUnchanged) : changed;
    }
    async isTrustedIdentity(n, k) { const old = this.m.get(akey(n)); return old === undefined || old === text(k.serialize()); }
    async getIdentity(n) { const o = this.m.get(akey(n)); return o ? S.PublicKey.deserialize(Buffer.from(o, 'base64')) : null; }
  }
  const recStore = (Base, save, get, cls, extra = {}) => {
    const C = class extends Base { m = new Map(); };
    C.prototype[save] = async function (id, r) { this.m.set(id, r.serialize()); };
    C.prototype[get] = async function (id) { const b = this.m.get(id); if (!b) throw new Error(`no ${cls.name} ${id}`); return cls.deserialize(b); };
    Object.assign(C.prototype, extra);
    return C;
  };
  const PreKeys = recStore(S.PreKeyStore, 'savePreKey', 'getPreKey', S.PreKeyRecord, { async removePreKey(id) { this.m.delete(id); } });
  const SignedPreKeys = recStore(S.SignedPreKeyStore, 'saveSignedPreKey', 'getSignedPreKey', S.SignedPreKeyRecord);
  const KyberPreKeys = recStore(S.KyberPreKeyStore, 'saveKyberPreKey', 'getKyberPreKey', S.KyberPreKeyRecord, { async markKyberPreKeyUsed(id) { (this.used ??= []).push(id); } });
  class SenderKeys extends S.SenderKeyStore {
    m = new Map();
    async saveSenderKey(a, d, r) { this.m.set(`${akey(a)}/${d}`, r.serialize()); }
    async getSenderKey(a, d) { const b = this.m.get(`${akey(a)}/${d}`); return b ? S.SenderKeyRecord.deserialize(b) : null; }
  }
  return { Sessions, Identities, PreKeys, SignedPreKeys, KyberPreKeys, SenderKeys };
}
