//! Records in IndexedDB: an object store whose keys are bytes.

use std::{cell::RefCell, rc::Rc};

use js_sys::{Function, Object, Reflect, Uint8Array};
use tokio::sync::mpsc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Event, EventTarget, IdbCursorDirection, IdbCursorWithValue, IdbDatabase, IdbFactory,
    IdbKeyRange, IdbObjectStore, IdbRequest, IdbTransaction,
};

use super::{Batch, Scan, StoreError, Value, stored_key, value};
use crate::platform::{Listening, failure, listen};

/// The version of the schema.
const VERSION: i64 = 1;
const RECORDS: &str = "records";

/// An open database.
pub(super) struct Database(IdbDatabase);

impl Database {
    pub(super) async fn open(name: &str) -> Result<Self, StoreError> {
        let factory = Reflect::get(&js_sys::global(), &"indexedDB".into()).map_err(failed)?;
        let factory: IdbFactory =
            factory.dyn_into().map_err(|_| StoreError::Failed("there is no IndexedDB".into()))?;
        // Without a version: one that is there keeps its own, a new one has the version 1.
        let opening = factory.open(name).map_err(failed)?;
        let made = Rc::new(RefCell::new(Ok(())));
        let (outcome, request) = (Rc::clone(&made), opening.clone());
        let _making = listen(&opening, "upgradeneeded", move |_: Event| {
            let database = request.result().map(JsCast::unchecked_into::<IdbDatabase>);
            *outcome.borrow_mut() =
                database.and_then(|database| database.create_object_store(RECORDS)).map(drop);
        });
        let opened: IdbDatabase = done(&opening).await?.unchecked_into();
        made.replace(Ok(())).map_err(failed)?;
        // A version of IndexedDB is a whole number.
        #[expect(clippy::cast_possible_truncation, reason = "below 2^53")]
        match opened.version() as i64 {
            VERSION => Ok(Self(opened)),
            other => {
                opened.close();
                Err(StoreError::Version(other))
            }
        }
    }

    pub(super) fn close(&self) {
        self.0.close();
    }

    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let records = self.reading()?;
        let found = done(&records.get(&bytes(key)).map_err(failed)?).await?;
        Ok((!found.is_undefined()).then(|| value(Uint8Array::new(&found).to_vec())))
    }

    pub(super) async fn scan(&self, scan: Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
        let Some(range) = range(&scan)? else { return Ok(Vec::new()) };
        let records = self.reading()?;
        let direction =
            if scan.backwards { IdbCursorDirection::Prev } else { IdbCursorDirection::Next };
        let walking = records.open_cursor_with_range_and_direction(&range, direction);
        let walking = walking.map_err(failed)?;
        let mut found = Vec::new();
        // The request tells of each record in turn.
        let mut told = tell(&walking);
        while found.len() < scan.limit {
            let at = told.recv().await.unwrap_or(Err(JsValue::UNDEFINED)).map_err(failed)?;
            if at.is_null() {
                break;
            }
            let at: IdbCursorWithValue = at.unchecked_into();
            let key = Uint8Array::new(&at.key().map_err(failed)?).to_vec();
            let stored = Uint8Array::new(&at.value().map_err(failed)?).to_vec();
            // Without the table's number.
            found.push((key.get(1..).unwrap_or_default().to_vec(), value(stored)));
            at.continue_().map_err(failed)?;
        }
        Ok(found)
    }

    /// Durable when it returns: the transaction is complete once the disk has it.
    pub(super) async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let writing = self.writing().map_err(failed)?;
        let ended = end(&writing);
        let written = write(&writing, batch);
        if let Err(err) = written {
            // It may have ended by itself, for the same reason.
            let _ = writing.abort();
            return Err(failed(err));
        }
        ended.await
    }

    /// A transaction that is complete once the disk has it, which is not the default.
    fn writing(&self) -> Result<IdbTransaction, JsValue> {
        let options = Object::new();
        Reflect::set(&options, &"durability".into(), &"strict".into())?;
        let begin: Function = Reflect::get(&self.0, &"transaction".into())?.dyn_into()?;
        let writing = begin.call3(&self.0, &RECORDS.into(), &"readwrite".into(), &options)?;
        Ok(writing.unchecked_into())
    }

    fn reading(&self) -> Result<IdbObjectStore, StoreError> {
        let reading = self.0.transaction_with_str(RECORDS).map_err(failed)?;
        reading.object_store(RECORDS).map_err(failed)
    }
}

fn write(writing: &IdbTransaction, batch: &Batch) -> Result<(), JsValue> {
    let records = writing.object_store(RECORDS)?;
    for (table, key, value) in batch.changes() {
        let key = bytes(&stored_key(table, key));
        match value {
            Some(value) => records.put_with_key(&bytes(value), &key)?,
            None => records.delete(&key)?,
        };
    }
    Ok(())
}

/// The keys of a scan; `None` if there are none between its ends.
fn range(scan: &Scan) -> Result<Option<IdbKeyRange>, StoreError> {
    let from = stored_key(scan.table, &scan.from);
    let to = if scan.to.is_empty() {
        vec![scan.table as u8 + 1]
    } else {
        stored_key(scan.table, &scan.to)
    };
    if from >= to || scan.limit == 0 {
        return Ok(None);
    }
    let range =
        IdbKeyRange::bound_with_lower_open_and_upper_open(&bytes(&from), &bytes(&to), false, true);
    range.map(Some).map_err(failed)
}

/// A request's result.
async fn done(request: &IdbRequest) -> Result<JsValue, StoreError> {
    let mut told = tell(request);
    told.recv().await.unwrap_or(Err(JsValue::UNDEFINED)).map_err(failed)
}

/// What a request tells, as it tells it.
struct Told {
    told: mpsc::UnboundedReceiver<Result<JsValue, JsValue>>,
    _listening: [Listening; 2],
}

impl Told {
    async fn recv(&mut self) -> Option<Result<JsValue, JsValue>> {
        self.told.recv().await
    }
}

fn tell(request: &IdbRequest) -> Told {
    let (teller, told) = mpsc::unbounded_channel();
    let (success, error) = (teller.clone(), teller);
    let (succeeded, failed) = (request.clone(), request.clone());
    let listening = [
        listen(request, "success", move |_: Event| drop(success.send(succeeded.result()))),
        listen(request, "error", move |_: Event| {
            let err = failed.error().ok().flatten().map_or(JsValue::UNDEFINED, JsValue::from);
            drop(error.send(Err(err)));
        }),
    ];
    Told { told, _listening: listening }
}

/// How a transaction ends.
fn end(writing: &IdbTransaction) -> impl Future<Output = Result<(), StoreError>> {
    let (teller, mut told) = mpsc::unbounded_channel();
    let (complete, abort, ended) = (teller.clone(), teller, writing.clone());
    let target: &EventTarget = writing;
    let listening = [
        listen(target, "complete", move |_: Event| drop(complete.send(Ok(())))),
        listen(target, "abort", move |_: Event| {
            let err = ended.error().map_or(JsValue::UNDEFINED, JsValue::from);
            drop(abort.send(Err(failed(err))));
        }),
    ];
    async move {
        let outcome = told.recv().await;
        drop(listening);
        outcome.unwrap_or_else(|| Err(failed(JsValue::UNDEFINED)))
    }
}

fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn failed(err: JsValue) -> StoreError {
    StoreError::Failed(failure(&err).into())
}
