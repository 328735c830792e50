//! The contract's calls about prices and plans.

use kinora_proto::billing::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, time_to_pb};
use crate::app::App;
use crate::domain::plan::Plan;
use crate::domain::price::{ModelPrice, PriceBook, Prices, SizeClass};
use crate::error::Error;

pub(super) async fn get_price_book(
    app: &App,
) -> Result<Response<pb::GetPriceBookResponse>, Status> {
    let book = app.price_book().await?;
    Ok(Response::new(pb::GetPriceBookResponse {
        price_book: Some(book_to_pb(book)),
    }))
}

pub(super) fn list_plans(app: &App) -> Response<pb::ListPlansResponse> {
    Response::new(pb::ListPlansResponse {
        plans: app.offered_plans().map(plan_to_pb).collect(),
    })
}

pub(super) async fn publish_price_book(
    app: &App,
    request: Request<pb::PublishPriceBookRequest>,
) -> Result<Response<pb::PublishPriceBookResponse>, Status> {
    let operator = caller(&request)?.user;
    let book = request.into_inner().price_book.ok_or(Error::Field {
        field: "price_book",
        problem: "is missing",
    })?;
    let version = book.version;
    let published = app.publish_prices(operator, version, prices_from_pb(book));
    Ok(Response::new(pb::PublishPriceBookResponse {
        price_book: Some(book_to_pb(published.await?)),
    }))
}

fn book_to_pb(book: PriceBook) -> pb::PriceBook {
    let size_to_pb = |size: SizeClass| pb::SizeClass {
        up_to_pixels: size.up_to_pixels,
        factor: size.factor,
    };
    let model_to_pb = |model: ModelPrice| pb::ModelPrice {
        model: model.model,
        price: model.price,
        sizes: model.sizes.into_iter().map(size_to_pb).collect(),
        steps: model.steps,
    };
    pb::PriceBook {
        version: book.version,
        create_time: Some(time_to_pb(book.create_time)),
        models: book.prices.models.into_iter().map(model_to_pb).collect(),
        interactive: book.prices.interactive,
        batch: book.prices.batch,
        audio: book.prices.audio,
    }
}

fn prices_from_pb(book: pb::PriceBook) -> Prices {
    let size_from_pb = |size: pb::SizeClass| SizeClass {
        up_to_pixels: size.up_to_pixels,
        factor: size.factor,
    };
    let model_from_pb = |model: pb::ModelPrice| ModelPrice {
        model: model.model,
        price: model.price,
        sizes: model.sizes.into_iter().map(size_from_pb).collect(),
        steps: model.steps,
    };
    Prices {
        models: book.models.into_iter().map(model_from_pb).collect(),
        interactive: book.interactive,
        batch: book.batch,
        audio: book.audio,
    }
}

fn plan_to_pb(plan: &Plan) -> pb::Plan {
    pb::Plan {
        name: plan.name.clone(),
        title: plan.title.clone(),
        monthly_credits: plan.monthly_credits.into(),
        price_cents: plan.price_cents,
        currency: plan.currency.clone(),
        access: plan.access,
    }
}
