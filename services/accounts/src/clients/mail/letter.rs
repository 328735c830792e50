//! A row of the outbox as a mail.

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};

use super::CarryError;
use crate::domain::Time;
use crate::store::entity::people::mail;

/// The mail of a row. It has the same `Message-ID` at every try, so that who gets it twice can tell.
///
/// # Errors
/// [`CarryError::Unfit`] when the row is no mail.
pub(super) fn message(
    from: &Mailbox,
    mail: &mail::Model,
    now: Time,
) -> Result<Message, CarryError> {
    // Subjects are ours. One of several lines would be headers of somebody else's.
    if mail.subject.chars().any(char::is_control) {
        return Err(CarryError::Unfit);
    }
    let to = mail.recipient.parse().map_err(|_| CarryError::Unfit)?;
    let id = format!("<{}@{}>", mail.id, from.email.domain());
    // Out-of-office answers are not sent to who sends by itself (RFC 3834).
    let by_itself = HeaderName::new_from_ascii_str("Auto-Submitted");
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(&mail.subject)
        .date(now.into())
        .message_id(Some(id))
        .raw_header(HeaderValue::new(by_itself, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(mail.body.clone())
        .map_err(|_| CarryError::Unfit)
}
