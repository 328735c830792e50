//! Finding the mesh that a command speaks to.

use std::path::Path;

use crate::arguments::{Folders, ServerArguments};
use crate::client::Api;
use crate::data::{api_key_file, read_api_key, running_mesh};
use crate::exit::{Failure, Status};

/// The mesh that the command line names, if it names one.
///
/// # Errors
///
/// [`Failure`] when the address is wrong or there is no key for it.
pub fn named_mesh(arguments: &ServerArguments, folders: &Folders) -> Result<Option<Api>, Failure> {
    let Some(server) = &arguments.server else {
        return Ok(None);
    };
    let key = match explicit_key(arguments)? {
        Some(key) => key,
        None => local_key_of(server, folders)?.ok_or_else(|| {
            Failure::usage(format!(
                "no API key for {server}: give --api-key-file or KINORA_API_KEY"
            ))
        })?,
    };
    Ok(Some(Api::new(server, key).map_err(Failure::usage)?))
}

/// The mesh that runs on the data folder, if it answers.
///
/// # Errors
///
/// [`Failure`] when its note or its key cannot be read.
pub async fn local_mesh(
    arguments: &ServerArguments,
    data_dir: &Path,
) -> Result<Option<Api>, Failure> {
    let Some(mesh) = running_mesh(data_dir)? else {
        return Ok(None);
    };
    let key = match explicit_key(arguments)? {
        Some(key) => Some(key),
        None => read_api_key(&api_key_file(data_dir))?,
    };
    let api = Api::new(&mesh.edge_url, key.unwrap_or_default())?;
    Ok(api.is_ready().await.then_some(api))
}

/// The mesh that is named, else the one that runs here.
///
/// # Errors
///
/// [`Failure`], also when there is none.
pub async fn any_mesh(arguments: &ServerArguments, folders: &Folders) -> Result<Api, Failure> {
    if let Some(api) = named_mesh(arguments, folders)? {
        return Ok(api);
    }
    let data_dir = folders.data_dir()?;
    local_mesh(arguments, &data_dir).await?.ok_or_else(|| {
        let folder = data_dir.display();
        let text = "start one with `kinora up`, or name one with --server";
        Failure::new(
            Status::Unreachable,
            anyhow::anyhow!("no mesh runs on {folder}; {text}"),
        )
    })
}

fn explicit_key(arguments: &ServerArguments) -> Result<Option<String>, Failure> {
    if let Some(key) = &arguments.api_key {
        return Ok(Some(key.trim().to_owned()));
    }
    let Some(path) = &arguments.api_key_file else {
        return Ok(None);
    };
    let key = read_api_key(path).map_err(|error| Failure::usage(format!("{error:#}")))?;
    key.map(Some)
        .ok_or_else(|| Failure::usage(format!("{} holds no API key", path.display())))
}

/// The key of the data folder, but only for the mesh that serves it: it is not for strangers.
fn local_key_of(server: &str, folders: &Folders) -> Result<Option<String>, Failure> {
    let Ok(data_dir) = folders.data_dir() else {
        return Ok(None);
    };
    let is_ours = running_mesh(&data_dir)?
        .is_some_and(|mesh| mesh.edge_url.trim_end_matches('/') == server.trim_end_matches('/'));
    if is_ours {
        Ok(read_api_key(&api_key_file(&data_dir))?)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataFolder;

    fn folders(data_dir: &Path) -> Folders {
        let data_dir = Some(data_dir.to_owned());
        Folders {
            data_dir,
            home: None,
            xdg_data_home: None,
            xdg_cache_home: None,
        }
    }

    #[test]
    fn the_local_key_goes_to_the_local_mesh_only() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(root.path()).unwrap();
        let key = data.api_key().unwrap();
        let _announcement = data.announce("http://127.0.0.1:1").unwrap();
        let folders = folders(root.path());
        assert_eq!(
            local_key_of("http://127.0.0.1:1/", &folders).unwrap(),
            Some(key)
        );
        assert_eq!(local_key_of("http://evil.example", &folders).unwrap(), None);
        let server = Some("http://evil.example".to_owned());
        let arguments = ServerArguments {
            server,
            ..Default::default()
        };
        assert_eq!(
            named_mesh(&arguments, &folders).unwrap_err().status,
            Status::Usage
        );
    }

    #[tokio::test]
    async fn without_a_mesh_the_answer_is_unreachable() {
        let root = tempfile::tempdir().unwrap();
        let result = any_mesh(&ServerArguments::default(), &folders(root.path())).await;
        assert_eq!(result.unwrap_err().status, Status::Unreachable);
    }
}
