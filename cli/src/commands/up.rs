//! `kinora up`.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::arguments::{Folders, UpArguments};
use crate::data::{DataFolder, api_key_file, operator_file};
use crate::discovery::LocalModel;
use crate::exit::Failure;
use crate::mesh::{LocalMesh, LocalMeshOptions};
use crate::output;

const EXAMPLE_PROMPT: &str = "a red circle moves right on a black background";

/// Runs the whole mesh until `shutdown`.
///
/// # Errors
///
/// [`Failure`] when it cannot start, or a part of it fails.
pub async fn run(
    arguments: UpArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // First of all, so that a second mesh on the folder hears of the first whatever else is wrong.
    let data = DataFolder::open(&folders.data_dir()?).map_err(anyhow::Error::from)?;
    let models = arguments.engine.places.find_models(folders)?;
    let ffmpeg = arguments.engine.places.find_ffmpeg(folders).await?;
    let options = LocalMeshOptions {
        data,
        listen: arguments.listen,
        s3_listen: arguments.s3_listen,
        s3_public_endpoint: arguments.s3_public_endpoint,
        cors_origins: arguments.cors_origins,
        models: models.clone(),
        ffmpeg,
        engine: arguments.engine.engine.clone(),
        frames: arguments.engine.frames.clone(),
        drain_timeout: arguments.drain_timeout,
        private_webhooks: arguments.private_webhooks,
        default_plan: arguments.default_plan,
        payments: arguments.payments,
        prompting: arguments.engine.prompting,
        providers_file: arguments.providers_file,
    };
    let starting = Box::pin(LocalMesh::start(options));
    let mut mesh = tokio::select! {
        mesh = starting => mesh?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let announcement = mesh.announce()?;
    output::result(banner(&mesh.edge_url, mesh.data_dir(), &models))?;
    let failure = tokio::select! {
        error = mesh.wait() => Some(error),
        () = shutdown.cancelled() => None,
    };
    drop(announcement);
    let stopped = mesh.stop().await;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(stopped?),
    }
}

fn banner(url: &str, data_dir: &Path, models: &[LocalModel]) -> String {
    let key_file = api_key_file(data_dir);
    let names: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
    let (data, key) = (data_dir.display(), key_file.display());
    let operator = operator_file(data_dir);
    let operator = operator.display();
    let models = names.join(", ");
    format!(
        "Kinora is ready.\n\n  \
         address   {url}\n  \
         API key   in {key}\n  \
         operator  in {operator}\n  \
         data      {data}\n  \
         models    {models}\n\n\
         Generate a clip from another terminal:\n\n  \
         kinora generate \"{EXAMPLE_PROMPT}\" -o clip.mp4 --data-dir '{data}'\n\n\
         or over REST:\n\n  \
         curl -s {url}/v1/videos -H \"Authorization: Bearer $(cat '{key}')\" \\\n    \
         -H 'Content-Type: application/json' -d '{{\"prompt\": \"{EXAMPLE_PROMPT}\"}}'\n\n\
         Ctrl-C stops it; accepted jobs are kept."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_tells_what_a_client_needs_and_no_secret() {
        let models = [LocalModel {
            id: "tiny".to_owned(),
            folder: "/m".into(),
        }];
        let banner = banner("http://127.0.0.1:8080", Path::new("/data"), &models);
        for part in [
            "http://127.0.0.1:8080/v1/videos",
            "/data/api-key",
            "tiny",
            "curl",
        ] {
            assert!(banner.contains(part), "{part} is missing:\n{banner}");
        }
        assert!(!banner.contains("kk_"));
    }
}
