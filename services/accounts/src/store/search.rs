//! Texts that operators look for.

use sea_orm::sea_query::{Expr, Func, LikeExpr};
use sea_orm::{ColumnTrait, ExprTrait};

/// Whether a column holds a text somewhere, in upper or lower case. SQLite knows the case of ASCII letters only.
pub fn holds(column: impl ColumnTrait, text: &str) -> Expr {
    let pattern = format!("%{}%", escaped(&text.to_lowercase()));
    Expr::expr(Func::lower(Expr::col(column))).like(LikeExpr::new(pattern).escape('\\'))
}

/// Whether a column begins with a text.
pub fn begins_with(column: impl ColumnTrait, text: &str) -> Expr {
    let pattern = format!("{}%", escaped(text));
    Expr::col(column).like(LikeExpr::new(pattern).escape('\\'))
}

/// A text in which no character has a meaning to LIKE.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
