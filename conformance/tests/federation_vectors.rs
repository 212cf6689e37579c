//! The golden vectors of the federation, checked with the suite's own codec.

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use posthouse_conformance::federation::{
        cbor::Value,
        formats::{
            GroupAct, GroupAnswer, GroupQuery, Query,
            envelope::{Envelope, Header},
            event::Event,
            receipt::{Receipt, SignedReceipt, outcome},
            records::{self, Record},
        },
        keys::{self, Document, EntryDraft, public, read_log, signing_key_id, verifies},
        lanes::{Incarnation, Position, start},
        seal::{Kem, SealingKey},
    };
    use serde_json::Value as Json;
    use sha2::{Digest as _, Sha256};

    fn vectors(name: &str) -> Json {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/spec/vectors/");
        serde_json::from_str(&std::fs::read_to_string(format!("{path}{name}.json")).unwrap())
            .unwrap()
    }

    fn hex(value: &Json) -> Vec<u8> {
        let text = value.as_str().unwrap();
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn fixed<const N: usize>(value: &Json) -> [u8; N] {
        hex(value).try_into().unwrap()
    }

    #[test]
    fn envelopes_are_verified_opened_and_written_again() {
        let vectors = vectors("federation-envelopes");
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let bytes = hex(&case["envelope"]);
            let envelope = Envelope::read(&bytes).unwrap();
            assert_eq!(envelope.encode(), bytes);
            assert_eq!(envelope.header, hex(&case["header"]));
            assert_eq!(envelope.digest().to_vec(), hex(&case["digest"]));
            let header = Header::read(&envelope.header).unwrap();
            assert_eq!(Value::Map(header.fields()).encode(), envelope.header);
            let signer = SigningKey::from_bytes(&fixed(&case["signing_seed"]));
            assert_eq!(public(&signer).to_vec(), hex(&case["signing_public"]));
            assert_eq!(signing_key_id(&public(&signer)), header.signing_key);
            let text = Envelope::signed_text(&envelope.header, &envelope.sealed);
            assert!(verifies(&public(&signer), &text, &envelope.signature));
            let kem = Kem::of(case["encapsulation"].as_u64().unwrap()).unwrap();
            let key = SealingKey::from_secret(kem, fixed(&case["sealing_secret"])).unwrap();
            assert_eq!(key.public(), hex(&case["sealing_public"]));
            assert_eq!(key.id().to_vec(), hex(&case["sealing_key_id"]));
            assert_eq!(key.id(), header.sealing_key);
            assert_eq!(header.salt.is_some(), case["shared"].as_bool().unwrap());
            let encapsulated = (header.encapsulated.as_slice(), header.salt);
            let opened = key.open(encapsulated, &envelope.header, &envelope.sealed).unwrap();
            assert_eq!(opened, hex(&case["records"]));
            let place = header.place.map(|place| (place.first, place.count));
            assert_eq!(place.is_some(), case["sequenced"].as_bool().unwrap());
            let read = records::read(&opened, place).unwrap();
            assert_eq!(records::write(&read), opened);
        }
    }

    #[test]
    fn the_event_is_read() {
        let vectors = vectors("federation-envelopes");
        let bytes = hex(&vectors["event"]);
        let event = Event::read(&bytes).unwrap();
        assert_eq!((event.kind, event.class, event.device), (1, 1, Some(1)));
        let case = &vectors["cases"][0];
        let place = Header::read(&hex(&case["header"])).unwrap().place.unwrap();
        let records = records::read(&hex(&case["records"]), Some((place.first, place.count)));
        let Record::Event(first) = &records.unwrap()[0] else { panic!("no event") };
        assert_eq!(first.event, bytes);
    }

    #[test]
    fn what_is_invalid_is_refused() {
        let vectors = vectors("federation-invalid");
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 12);
        for case in cases {
            let bytes = hex(&case["bytes"]);
            let read = match case["as"].as_str().unwrap() {
                "event" => Event::read(&bytes).map(drop),
                "records" => records::read(&bytes, Some((1, 1))).map(drop),
                "header" => Header::read(&bytes).map(drop),
                other => panic!("{other}"),
            };
            assert!(read.is_err(), "{case}");
        }
        // The same event in its one form is taken, so the cases fail for their reason alone.
        let bare = [0xa5, 1, 0x19, 3, 0x84, 2, 1, 3, 5, 6, 0x80, 0x11, 0x80];
        assert_eq!(Event::read(&bare).unwrap().kind, 900);
    }

    #[test]
    fn the_key_log_and_the_document_are_verified_and_made_again() {
        let vectors = vectors("federation-keys");
        let bytes = hex(&vectors["log"]);
        let log = read_log(&bytes).unwrap();
        let hashes = vectors["entry_hashes"].as_array().unwrap();
        assert_eq!(log.len(), hashes.len());
        for (entry, hash) in log.iter().zip(hashes) {
            assert_eq!(entry.hash().to_vec(), hex(hash));
        }
        let document = Document::read(&hex(&vectors["document"])).unwrap();
        assert_eq!(document.entry, log[1]);
        assert_eq!(document.server, "north.test");
        // Written from the seeds, the first entry comes out the same, byte by byte.
        let seeds = vectors["signing_seeds"].as_array().unwrap();
        let signing: Vec<_> = seeds.iter().map(|s| SigningKey::from_bytes(&fixed(s))).collect();
        let recovery = SigningKey::from_bytes(&fixed(&vectors["recovery_seed"]));
        let entry = &log[0];
        let text = [b"posthouse key log v1\0", entry.bytes.as_slice()].concat();
        assert!(verifies(&entry.signing[0], &text, &entry.signatures[0].1));
        let sealing = envelope_sealing_keys();
        let draft = EntryDraft {
            server: "north.test",
            number: 0,
            before: None,
            made: entry.made,
            signing: &signing[0],
            next: &signing[1],
            retired: None,
            sealing: &sealing,
            recovery: &recovery,
        };
        let ours = draft.encode();
        let theirs = Value::decode(&entry.bytes).unwrap();
        let (Value::Map(ours), Value::Map(theirs)) = (Value::decode(&ours).unwrap(), theirs) else {
            panic!("no maps")
        };
        for ((key, our), (_, their)) in ours.iter().zip(&theirs).filter(|((key, _), _)| *key != 7) {
            assert_eq!(our, their, "key {key}");
        }
    }

    fn envelope_sealing_keys() -> Vec<SealingKey> {
        vec![SealingKey::from_secret(Kem::XWing, [2; 32]).unwrap()]
    }

    #[test]
    fn a_log_that_was_tampered_with_is_refused() {
        let bytes = hex(&vectors("federation-keys")["log"]);
        let Value::Array(entries) = Value::decode(&bytes).unwrap() else { panic!("no array") };
        let [first, second] = entries.try_into().unwrap();
        let log =
            |entries: &[&Value]| Value::Array(entries.iter().copied().cloned().collect()).encode();
        assert!(read_log(&log(&[&first, &second])).is_ok());
        assert!(read_log(&log(&[&second])).is_err());
        assert!(read_log(&log(&[&second, &first])).is_err());
        assert!(read_log(&log(&[&first, &first])).is_err());
        assert!(read_log(&log(&[])).is_err());
        let mut flipped = bytes.clone();
        for place in (0..bytes.len()).step_by(97) {
            flipped[place] ^= 1;
            assert!(read_log(&flipped).is_err(), "{place}");
            flipped[place] ^= 1;
        }
    }

    #[test]
    fn receipts_and_queries_are_verified_and_made_again() {
        let vectors = vectors("federation-receipts");
        let key = SigningKey::from_bytes(&fixed(&vectors["signing_seed"]));
        for (name, expected) in
            [("accepted", outcome::ACCEPTED), ("gap_and_nothing_known", outcome::GAP)]
        {
            let bytes = hex(&vectors[name]);
            let signed = SignedReceipt::read(&bytes).unwrap();
            assert!(signed.is_signed_by(&public(&key)), "{name}");
            assert_eq!(signed.receipt.outcome, expected);
            assert_eq!(Receipt::key_id(&key), signed.receipt.signing_key);
            assert_eq!(signed.receipt.sign(&key), bytes);
        }
        let bytes = hex(&vectors["resolve_query"]);
        let (query, id, is_signed_by) = Query::read(&bytes).unwrap();
        assert_eq!(query.handle, "alice");
        let signer = [key.clone(), SigningKey::from_bytes(&[1; 32])]
            .into_iter()
            .find(|key| signing_key_id(&public(key)) == id)
            .unwrap();
        assert!(is_signed_by(&public(&signer)));
        assert_eq!(query.sign(&signer), bytes);
    }

    #[test]
    fn questions_about_groups_are_verified_and_made_again() {
        let vectors = vectors("federation-groups");
        let text = |name: &str| vectors[name].as_str().unwrap().to_owned();
        let key = SigningKey::from_bytes(&fixed(&vectors["signing_seed"]));
        let epoch = hex(&vectors["epoch"]);
        let code = Sha256::digest(vectors["join"]["code"].as_str().unwrap()).into();
        let acts = [
            ("pull", GroupAct::Pull(vectors["pull"]["from"].as_u64().unwrap())),
            ("push", GroupAct::Push(vec![epoch.clone()])),
            ("submit", GroupAct::Submit(epoch)),
            ("join", GroupAct::Join(fixed(&vectors["join"]["account"]), code)),
        ];
        for (name, act) in acts {
            let ours = GroupQuery {
                origin: text("origin"),
                destination: text("destination"),
                created: vectors["created"].as_u64().unwrap(),
                group: text("group"),
                act,
            };
            let bytes = hex(&vectors[name]["query"]);
            let (theirs, id, is_signed_by) = GroupQuery::read(&bytes).unwrap();
            assert_eq!(theirs, ours, "{name}");
            assert_eq!(id, signing_key_id(&public(&key)));
            assert!(is_signed_by(&public(&key)), "{name}");
            assert_eq!(ours.sign(&key), bytes, "{name}");
        }
        let answers = vectors["answers"].as_array().unwrap();
        assert_eq!(answers.len(), 4);
        for one in answers {
            let hash = (!one["hash"].is_null()).then(|| fixed(&one["hash"]));
            let ours = GroupAnswer {
                outcome: one["outcome"].as_u64().unwrap(),
                head: one["epoch"].as_u64().zip(hash),
                epochs: one["epochs"].as_array().unwrap().iter().map(hex).collect(),
                reason: one["reason"].as_str().map(str::to_owned),
            };
            let bytes = hex(&one["answer"]);
            assert_eq!(GroupAnswer::read(&bytes).unwrap(), ours);
            assert_eq!(ours.encode(), bytes);
        }
    }

    #[test]
    fn events_to_groups_are_read_and_written_again() {
        let vectors = vectors("federation-groups");
        for (name, class, recipients) in [("message", 1, 0), ("piece", 3, 1)] {
            let bytes = hex(&vectors[name]);
            let event = Event::read(&bytes).unwrap();
            assert_eq!((event.kind, event.class, event.epoch), (1, class, Some(7)));
            assert_eq!(event.group.as_deref(), vectors["group"].as_str());
            assert_eq!(event.recipients.len(), recipients);
            assert_eq!(event.encode(), bytes, "{name}");
        }
    }

    #[test]
    fn running_hashes_are_the_same() {
        let vectors = vectors("federation-streams");
        let text = |name: &str| vectors[name].as_str().unwrap();
        let incarnation = Incarnation {
            number: vectors["incarnation_number"].as_u64().unwrap(),
            random: fixed(&vectors["incarnation_random"]),
        };
        let lane = vectors["lane"].as_u64().unwrap();
        let mut at = start(text("origin"), text("destination"), incarnation, lane);
        assert_eq!(at, Position { through: 0, hash: fixed(&vectors["start"]) });
        for step in vectors["steps"].as_array().unwrap() {
            at = if let Some(from) = step["void_from"].as_u64() {
                at.void(from, step["void_to"].as_u64().unwrap())
            } else {
                let sender = (!step["sender"].is_null()).then(|| fixed(&step["sender"]));
                at.event(sender, fixed(&step["id"]))
            };
            assert_eq!(at.hash.to_vec(), hex(&step["hash"]), "{step}");
        }
    }

    #[test]
    fn documents_that_are_written_are_read() {
        let (signing, next) = (SigningKey::from_bytes(&[5; 32]), SigningKey::from_bytes(&[6; 32]));
        let sealing = envelope_sealing_keys();
        let first = EntryDraft {
            server: "peer.test",
            number: 0,
            before: None,
            made: 1,
            signing: &signing,
            next: &next,
            retired: None,
            sealing: &sealing,
            recovery: &signing,
        };
        let second = EntryDraft {
            number: 1,
            before: Some(keys::entry_hash(&first.encode())),
            made: 2,
            signing: &next,
            next: &signing,
            retired: Some((&signing, 2)),
            ..first.clone()
        };
        let log = Value::Array(vec![first.sign(None), second.sign(Some(&signing))]).encode();
        assert_eq!(read_log(&log).unwrap().len(), 2);
        let entry = second.sign(Some(&signing));
        let document = keys::write_document("peer.test", (10, 20), &["one"], &entry, &next);
        let document = Document::read(&document).unwrap();
        assert_eq!((document.entry.number, document.features), (1, vec!["one".to_owned()]));
    }
}
