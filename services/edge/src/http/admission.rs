//! Whom a method wants behind a call, by its contract.
//!
//! The services check it by themselves. It is checked here too, before a body is read: who may not call costs neither
//! memory nor a call behind the edge, and is told the same.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::request::Parts;
use kinora_access::Wanted;
use kinora_access::rules::wanted;
use kinora_transcoder::{Route, Transcoder};

use super::Edge;
use crate::auth::Bearer;
use crate::error::Error;
use crate::problem::Problem;
use crate::visit::Visit;

/// What the methods that have routes want.
pub(super) struct Rules(HashMap<String, Wanted>);

impl Rules {
    /// Reads what `services`, full names, want of their callers.
    ///
    /// # Errors
    /// [`Error::Rules`] when a method does not say it, [`Error::RouteForWorkloads`] when one has a route that only services
    /// of the mesh may call.
    pub(super) fn read(services: &[&str], routes: &Transcoder) -> Result<Self, Error> {
        let rules = Self(wanted(kinora_proto::DESCRIPTORS, services)?);
        for route in routes.routes() {
            if rules.of(route) == Wanted::Workload {
                return Err(Error::RouteForWorkloads(route.method().to_owned()));
            }
        }
        Ok(rules)
    }

    /// What a route's method wants. One of which nothing is known is for nobody outside of the mesh.
    pub(super) fn of(&self, route: &Route) -> Wanted {
        let found = self.0.get(route.method());
        found.copied().unwrap_or(Wanted::Workload)
    }
}

impl Edge {
    /// The caller of a route, who may call it, and on whom the call is counted. None where anybody may.
    pub(super) async fn admit(
        &self,
        route: &Route,
        parts: &Parts,
    ) -> Result<Option<Arc<Bearer>>, Problem> {
        let visit = Visit::of(&parts.extensions);
        visit.set_method(route.method());
        match self.services.rules.of(route) {
            Wanted::Anybody => visit.count_stranger().await.map(|()| None),
            Wanted::Workload => Err(Problem::route_not_found()),
            wanted @ Wanted::User { .. } => {
                let caller = self.gate.admit(&parts.headers, &visit, wanted).await?;
                Ok(Some(caller))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::services;

    fn rules_of(services: &[&str]) -> Result<Rules, Error> {
        let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services::all())?;
        Rules::read(services, &routes)
    }

    #[test]
    fn strangers_may_sign_in_and_look_at_prices_and_nothing_else() {
        let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services::all()).unwrap();
        let rules = rules_of(&services::all()).unwrap();
        let routes = routes.routes().iter();
        let mut open: Vec<&str> = routes
            .filter(|route| rules.of(route) == Wanted::Anybody)
            .map(Route::method)
            .filter(|method| !method.starts_with("/kinora.accounts.v1.AuthService/"))
            .collect();
        open.sort_unstable();
        let expected = [
            "/kinora.billing.v1.BillingService/GetPriceBook",
            "/kinora.billing.v1.BillingService/ListPlans",
            "/kinora.billing.v1.PaymentService/ListPacks",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn a_route_of_which_nothing_is_known_is_not_served() {
        let error = rules_of(&services::all()[1..]).err();
        assert!(matches!(error, Some(Error::RouteForWorkloads(_))));
    }
}
