//! Which language model there is.

use std::sync::Arc;

use crate::clients::Writer;
use crate::clients::llm_endpoint::LlmEndpoint;
use crate::clients::local_llm::LocalLlm;
use crate::config::llm::LlmOptions;
use crate::error::Error;

/// The language model of the options, loaded when it runs here. None when they name none.
///
/// # Errors
/// [`Error::Options`].
pub fn writer(options: &LlmOptions) -> Result<Option<Arc<dyn Writer>>, Error> {
    if let Some(path) = &options.model {
        return Ok(Some(Arc::new(LocalLlm::open(path, options)?)));
    }
    match &options.endpoint {
        Some(base) => Ok(Some(Arc::new(LlmEndpoint::new(base, options)?))),
        None => Ok(None),
    }
}
