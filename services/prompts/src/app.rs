//! The use cases.

mod cache;
mod enhance;
mod moderate;
mod policy;
mod prepare;
mod reviews;
mod templates;
mod writing;

use std::sync::Arc;

use kinora_enhancement::Rules;
use kinora_moderation::Audience;

use crate::clients::Writer;
use crate::clock::Clock;
use crate::config::{DefaultEnhancer, PromptsOptions};
use uuid::Uuid;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Store;

use cache::Cache;
use moderate::Moderator;

pub use policy::{PolicyView, RuleView};
pub use reviews::Decision;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Whose prompts these are.
    pub owner: String,
    /// Who types them, in whatever organisation.
    pub person: Uuid,
    /// For whom the clip is.
    pub audience: Audience,
}

/// The use cases, with all that they need.
pub struct App {
    pub(crate) options: PromptsOptions,
    store: Store,
    clock: Arc<dyn Clock>,
    moderator: Moderator,
    rules: Arc<Rules>,
    writer: Option<Arc<dyn Writer>>,
    cache: Cache,
    metrics: Metrics,
}

impl App {
    /// Reads policy, templates, tokenizers and models that the options name: seconds where there are models.
    ///
    /// # Errors
    /// [`Error::Options`] with the option whose file cannot be read or makes no sense.
    pub fn open(
        options: PromptsOptions,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let moderator = Moderator::open(&options.prompting.moderation)?;
        let rules = templates::rules(&options.prompting)?;
        let writer = writing::writer(&options.prompting.llm)?;
        if writer.is_none() {
            tracing::info!("no language model is configured; prompts are rewritten by rules");
        }
        Ok(Self {
            cache: Cache::new(options.prompting.cached),
            options,
            store,
            clock,
            moderator,
            rules: Arc::new(rules),
            writer,
            metrics,
        })
    }

    /// The language model for orders that leave the choice to the operator.
    fn default_writer(&self) -> Option<&Arc<dyn Writer>> {
        match self.options.prompting.enhancer {
            DefaultEnhancer::Auto => self.writer.as_ref(),
            DefaultEnhancer::Rules => None,
        }
    }

    /// Removes reviews whose time is over.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sweep(&self) -> Result<u64, Error> {
        Ok(self.store.sweep(self.clock.now()).await?)
    }
}
