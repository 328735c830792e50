//! The model store: one folder that holds the weights of models, on a disk or on a volume that many workers share.
//!
//! ```text
//! <store>/
//!   <id>/            a complete model: its files, kinora.json (the card), store.json (the record)
//!   <id>.part/       a model that is being fetched: finished files, *.partial files, progress.json
//!   <id>.lock        who fetches, repairs or removes it; never deleted
//! ```
//!
//! A model is complete or it is not there: the folder `<id>` appears by one rename, after every file in it was checked
//! against a digest, written to the disk and recorded. Whatever ends a pull early (a signal, a full volume, a lost
//! machine) leaves `<id>.part`, and the next pull goes on from its bytes.
//!
//! What a file must be comes from the [`Catalogue`], which is compiled in and may be extended by the operator. Files
//! whose digest the catalogue does not know are checked against what the hub says about them over TLS, else trusted
//! when they are first seen ([`Trust`] says which it was). From then on the record in `store.json` holds.
//!
//! The crate knows nothing about tensors, and loaders know nothing about fetching: they call [`Store::open_model`].

mod card;
mod catalogue;
mod download;
mod durable;
mod error;
mod fetch;
mod lock;
mod observer;
mod origin;
mod part;
mod progress;
mod pull;
mod record;
mod relative_path;
mod room;
mod store;
mod token;
mod verify;

pub use card::{Card, CardDefaults, CardLimits, Grid, Sampler};
pub use catalogue::{Catalogue, CatalogueError, FileEntry, Licence, ModelEntry, Needs, Source};
pub use error::StoreError;
pub use observer::{Observer, PullEvent};
pub use origin::{Mirror, MirrorError};
pub use pull::{Acceptance, PullOptions, Pulled, RetryPolicy};
pub use record::{AcceptedLicence, FileRecord, LicenceRecord, StoreRecord, Trust};
pub use relative_path::{PathError, RelativePath};
pub use room::FreeSpace;
pub use store::{InstalledModel, LicenceState, ModelState, ModelStatus, Store, check_licence};
pub use token::HubToken;
pub use verify::{FileVerdict, Verdict, VerifyProgress};
