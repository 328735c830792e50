//! The texts of mails: plain and short. Nothing that a stranger has typed stands in them, so that nobody can have us send
//! their words to others.

use crate::app::notices::Notice;
use crate::app::service_notices::{Recipient, SpendAlert};
use crate::domain::Time;
use crate::store::outbox::Mail;

const FOOT: &str =
    "You get this mail because the address belongs to an account of Kinora, or was given for one.";

/// The code that ends a sign-up.
pub(crate) fn verify(address: &str, code: &str, public_url: &str) -> Mail {
    mail(
        address,
        "Verify your mail address",
        &format!(
            "Welcome to Kinora. To verify your address, open\n\n{}\n\nor enter this code:\n\n{code}\n\nYou are asked for the password of your sign-up then. The code is good for 30 minutes. If you did not sign up, there is nothing to do.",
            link(public_url, "verify", code)
        ),
    )
}

/// Somebody signed up with an address that has an account.
pub(crate) fn account_exists(address: &str, public_url: &str) -> Mail {
    mail(
        address,
        "You have an account already",
        &format!(
            "Somebody, perhaps you, signed up with this address, which has an account already. Nothing was changed.\n\nTo sign in, or to set a new password, open\n\n{}\n\nIf that was not you, there is nothing to do.",
            page(public_url, "sign-in")
        ),
    )
}

/// The code that sets a new password.
pub(crate) fn reset(address: &str, code: &str, public_url: &str) -> Mail {
    mail(
        address,
        "Set a new password",
        &format!(
            "Somebody, perhaps you, asked for a new password. To set one, open\n\n{}\n\nor enter this code:\n\n{code}\n\nIt is good for 30 minutes. If you did not ask for it, there is nothing to do: your password stays as it is.",
            link(public_url, "reset", code)
        ),
    )
}

/// An operator has made an account with this address.
pub(crate) fn account_made(address: &str, code: &str, public_url: &str) -> Mail {
    mail(
        address,
        "An account was made for you",
        &format!(
            "An operator of Kinora has made an account for this address. To set your password, open\n\n{}\n\nor enter this code:\n\n{code}\n\nIt is good for 30 minutes; after that, ask for a new password with your address at\n\n{}\n\nIf you do not want an account, there is nothing to do.",
            link(public_url, "reset", code),
            page(public_url, "sign-in")
        ),
    )
}

/// The code that gives an account this address.
pub(crate) fn change_address(address: &str, code: &str, public_url: &str) -> Mail {
    mail(
        address,
        "Verify your new mail address",
        &format!(
            "To use this address for your account, open\n\n{}\n\nor enter this code:\n\n{code}\n\nIt is good for 30 minutes. If you did not ask for it, there is nothing to do.",
            link(public_url, "verify", code)
        ),
    )
}

/// The code by which an account with this address joins an organisation. Its name is not told: its owners choose it.
pub(crate) fn invitation(address: &str, inviter: &str, code: &str, public_url: &str) -> Mail {
    mail(
        address,
        "You were invited to an organisation",
        &format!(
            "{inviter} invites you to an organisation on Kinora. To join it, sign in with an account of this address and open\n\n{}\n\nor enter this code:\n\n{code}\n\nIt is good for seven days. If you do not want to join, there is nothing to do.",
            link(public_url, "join", code)
        ),
    )
}

/// Somebody wants to give another account this address, which has one.
pub(crate) fn address_taken(address: &str) -> Mail {
    mail(
        address,
        "Your address was given for another account",
        "Somebody, perhaps you, wanted to use this address for another account. It belongs to yours, and nothing was changed.",
    )
}

/// Something has happened to an account.
pub(crate) fn notice(address: &str, notice: Notice, now: Time, public_url: &str) -> Mail {
    let (subject, sentence) = notice.parts();
    let time = now.format("%Y-%m-%d %H:%M UTC");
    mail(
        address,
        subject,
        &format!(
            "{sentence}\n\nThat was at {time}. If it was not you, set a new password and end all sessions at once:\n\n{}",
            page(public_url, "security")
        ),
    )
}

/// A part of a soft cap was reached. An organisation is named by its id: its owners choose its name.
pub(crate) fn spend_alert(address: &str, recipient: Recipient, alert: &SpendAlert) -> Mail {
    let (whose, payer) = match recipient {
        Recipient::User(_) => ("your", "Your account".to_owned()),
        Recipient::Organisation(id) => ("an organisation's", format!("The organisation {id}")),
    };
    let SpendAlert {
        percent,
        soft_credits: soft,
        spent_credits: spent,
        ..
    } = *alert;
    let again = alert.reset_time.map_or_else(
        || "It is counted from zero again by now.".to_owned(),
        |time| {
            let time = time.format("%Y-%m-%d %H:%M UTC");
            format!("It is counted from zero again at {time}.")
        },
    );
    mail(
        address,
        &format!("{percent} % of {whose} soft cap is spent"),
        &format!(
            "{payer} has reached {percent} % of its soft cap: {} of {} seconds of standard video are spent or set aside ({} of {} credits; a credit is a thousandth of a second). {again}\n\nThe soft cap stops nothing: it is there to tell you. What is to stop is stopped by the hard cap.",
            seconds_of(spent),
            seconds_of(soft),
            grouped(spent),
            grouped(soft)
        ),
    )
}

/// Credits as seconds of standard video, to the credit.
fn seconds_of(credits: u64) -> String {
    let seconds = grouped(credits / 1000);
    match credits % 1000 {
        0 => seconds,
        rest => format!("{seconds}.{rest:03}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn mail(address: &str, subject: &str, text: &str) -> Mail {
    Mail {
        recipient: address.to_owned(),
        subject: subject.to_owned(),
        body: format!("{text}\n\n-- \n{FOOT}\n"),
    }
}

fn page(public_url: &str, page: &str) -> String {
    format!("{}/{page}", public_url.trim_end_matches('/'))
}

/// The code stands in the fragment, which browsers send to no server, so that it gets into no log.
fn link(public_url: &str, name: &str, code: &str) -> String {
    format!("{}#{code}", page(public_url, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_seconds_of_standard_video() {
        for (credits, seconds, text) in [
            (0, "0", "0"),
            (1, "0.001", "1"),
            (500, "0.5", "500"),
            (1000, "1", "1,000"),
            (10_938, "10.938", "10,938"),
            (7_200_000, "7,200", "7,200,000"),
            (123_456_789_010, "123,456,789.01", "123,456,789,010"),
        ] {
            assert_eq!(seconds_of(credits), seconds);
            assert_eq!(grouped(credits), text);
        }
    }
}
