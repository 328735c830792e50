//! Small steps of reading answers.

use chrono::DateTime;
use stripe_types::{AsCursorOpt as _, Expandable, Object};

use crate::Time;
use crate::error::Error;
use crate::object_id::ObjectId;

/// A time of Stripe's, in seconds of Unix.
pub(crate) fn time(seconds: i64) -> Result<Time, Error> {
    DateTime::from_timestamp(seconds, 0).ok_or(Error::Unreadable("a time is none"))
}

/// As [`time`], of what may be missing.
pub(crate) fn optional_time(seconds: Option<i64>) -> Result<Option<Time>, Error> {
    seconds.map(time).transpose()
}

/// An object's own id.
pub(crate) fn id_of<T: Object>(object: &T) -> Result<ObjectId, Error> {
    let id = object.id().as_cursor_opt();
    ObjectId::received(id.unwrap_or_default())
}

/// The id of another object, whether or not that came along.
pub(crate) fn reference<T: Object>(object: &Expandable<T>) -> Result<ObjectId, Error> {
    let id = object.id().as_cursor_opt();
    ObjectId::received(id.unwrap_or_default())
}

/// As [`reference`], of what may be missing.
pub(crate) fn optional_reference<T: Object>(
    object: Option<&Expandable<T>>,
) -> Result<Option<ObjectId>, Error> {
    object.map(reference).transpose()
}
