//! The contract's calls about service accounts.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, id_from_pb, origin_from_pb, time_to_pb};
use crate::app::App;
use crate::store::entity::programs::service_account;

pub(super) async fn create_service_account(
    app: &App,
    request: Request<pb::CreateServiceAccountRequest>,
) -> Result<Response<pb::CreateServiceAccountResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let organisation = id_from_pb(&request.organisation_id)?;
    let program = app
        .create_service_account(&caller, organisation, &request.name, &origin)
        .await?;
    Ok(Response::new(pb::CreateServiceAccountResponse {
        service_account: Some(service_account_to_pb(program)),
    }))
}

pub(super) async fn list_service_accounts(
    app: &App,
    request: Request<pb::ListServiceAccountsRequest>,
) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
    let caller = caller(&request)?;
    let organisation = id_from_pb(&request.get_ref().organisation_id)?;
    let programs = app.list_service_accounts(&caller, organisation).await?;
    Ok(Response::new(pb::ListServiceAccountsResponse {
        service_accounts: programs.into_iter().map(service_account_to_pb).collect(),
    }))
}

pub(super) async fn delete_service_account(
    app: &App,
    request: Request<pb::DeleteServiceAccountRequest>,
) -> Result<Response<pb::DeleteServiceAccountResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.delete_service_account(&caller, id_from_pb(&request.id)?, &origin)
        .await?;
    Ok(Response::new(pb::DeleteServiceAccountResponse {}))
}

fn service_account_to_pb(program: service_account::Model) -> pb::ServiceAccount {
    pb::ServiceAccount {
        id: program.id.to_string(),
        organisation_id: program.organisation_id.to_string(),
        name: program.name,
        create_time: Some(time_to_pb(program.create_time)),
    }
}
