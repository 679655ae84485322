//! The parser's PostgreSQL, which is told at once what a name or a literal in an expression is.
//!
//! The parser tries each operand as `type 'text'` first, and writes an error that nobody reads when it is none: a quarter of
//! the time of a parse. [`super::bridge`] leaves no such spelling behind a quoted name, so the trial is skipped there. What
//! is parsed, and to what, stays the same.

use std::any::TypeId;

use sqlparser::ast::{Expr, ObjectName};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Word};

/// [`PostgreSqlDialect`], but for operands that need no trial.
#[derive(Debug)]
pub(super) struct Grammar(PostgreSqlDialect);

impl Grammar {
    pub(super) const fn new() -> Self {
        Self(PostgreSqlDialect {})
    }
}

/// Passes questions on.
macro_rules! as_postgres {
    ($($question:ident,)+) => {
        $(fn $question(&self) -> bool {
            self.0.$question()
        })+
    };
}

impl Dialect for Grammar {
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens_ref();
        match quoted(&first.token) {
            Some(word) if second.token == Token::LParen => {
                let name = ObjectName::from(vec![word.to_ident(first.span)]);
                parser.advance_token();
                Some(parser.parse_function(name))
            }
            Some(_) => column(parser).map(Ok),
            None if is_literal(&first.token) && ends_operand(&second.token) => {
                Some(parser.parse_value().map(Expr::Value))
            }
            None => None,
        }
    }

    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.0.identifier_quote_style(identifier)
    }

    fn is_identifier_start(&self, first: char) -> bool {
        self.0.is_identifier_start(first)
    }

    fn is_identifier_part(&self, next: char) -> bool {
        self.0.is_identifier_part(next)
    }

    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        self.0.is_reserved_for_identifier(word)
    }

    fn is_table_alias(&self, word: &Keyword, parser: &mut Parser<'_>) -> bool {
        self.0.is_table_alias(word, parser)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        self.0.get_next_precedence(parser)
    }

    fn prec_value(&self, of: Precedence) -> u8 {
        self.0.prec_value(of)
    }

    as_postgres! {
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        supports_alter_user_as_alter_role,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_exclude_constraint,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_order_by_using_operator,
        supports_set_names,
        supports_alter_column_type_using,
        supports_left_associative_joins_without_parens,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_aliased_function_args,
        supports_comment_optimizer_hint,
    }
}

/// Takes `a` or `a.b`.
fn column(parser: &mut Parser<'_>) -> Option<Expr> {
    let [first, second, third, fourth] = parser.peek_tokens_ref();
    let name = quoted(&first.token)?.to_ident(first.span);
    let field = quoted(&third.token).filter(|_| second.token == Token::Period);
    if let Some(field) = field
        && ends_operand(&fourth.token)
    {
        let name = vec![name, field.to_ident(third.span)];
        (0..3).for_each(|_| parser.advance_token());
        return Some(Expr::CompoundIdentifier(name));
    }
    let ends = ends_operand(&second.token);
    ends.then(|| {
        parser.advance_token();
        Expr::Identifier(name)
    })
}

const fn is_literal(token: &Token) -> bool {
    matches!(token, Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other tokens are no names")]
const fn quoted(token: &Token) -> Option<&Word> {
    match token {
        Token::Word(word) if word.quote_style.is_some() => Some(word),
        _ => None,
    }
}

/// Tokens behind which nothing but an operand can have stood.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not listed is tried as before")]
fn ends_operand(next: &Token) -> bool {
    match next {
        Token::Word(word) => !matches!(word.keyword, Keyword::COLLATE | Keyword::ARRAY),
        Token::EOF
        | Token::Comma
        | Token::RParen
        | Token::RBracket
        | Token::DoubleColon
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlparser::ast::Query;
    use sqlparser::dialect::{Dialect, PostgreSqlDialect};
    use sqlparser::parser::Parser;

    use super::Grammar;
    use crate::classify::bridge::translate;
    use crate::classify::words::Words;
    use crate::scan::{Backslash, Lexer, Token};

    /// What an expression may be made of.
    const PARTS: &[&str] = &[
        "a",
        "t.a",
        "s.t.a",
        "\"Q\"",
        "xml",
        "_utf8",
        "date",
        "f(",
        "s.f(",
        "count(*)",
        "coalesce(",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "1",
        "1.5",
        "'x'",
        "E'x'",
        "$1",
        "x'1f'",
        "date '2020-01-01'",
        "interval '1 day'",
        "a '1'",
        "double precision '1'",
        "timestamp with time zone 'now'",
        "+",
        "-",
        "*",
        "=",
        "<>",
        "||",
        "->",
        "@>",
        "=>",
        ":=",
        "::",
        "::int",
        "::numeric(10, 2)",
        "::s.t",
        "::text[]",
        "[1]",
        "[1:2]",
        "AS x",
        "x",
        "COLLATE \"C\"",
        "IS NULL",
        "IS NOT DISTINCT FROM",
        "AND",
        "OR",
        "NOT",
        "IN (",
        "BETWEEN",
        "LIKE",
        "SIMILAR TO",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "EXISTS (SELECT",
        "(SELECT",
        "ARRAY[",
        "ROW(",
        "CAST(",
        "AT TIME ZONE",
        "ANY (",
        "FILTER (WHERE",
        "OVER (",
        "WITHIN GROUP (ORDER BY",
        "DISTINCT",
        "FROM t",
        "FROM t x, f(",
        "JOIN u ON",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "UNION SELECT",
        "VALUES (",
        "current_date",
        "extract(year from",
        "substring(a from",
        "trim(both",
        "VARIADIC",
        "ESCAPE",
    ];

    fn tree(sql: &str, dialect: &dyn Dialect) -> Option<Box<Query>> {
        let tokens: Vec<Token> = Lexer::new(sql.as_bytes(), Backslash::Plain).collect();
        let tokens = translate(Words::new(sql, &tokens))?;
        let parser = Parser::new(dialect).with_recursion_limit(60);
        parser.with_tokens_with_locations(tokens).parse_query().ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn without_the_trial_the_tree_is_the_same(parts in prop::collection::vec(prop::sample::select(PARTS), 1..12)) {
            let sql = format!("SELECT {}", parts.join(" "));
            // `f(1)[1] x` is a syntax error to the server; the trial takes it for a type's literal.
            if sql.contains(") [") || sql.contains(") ARRAY") {
                return Ok(());
            }
            prop_assert_eq!(tree(&sql, &Grammar::new()), tree(&sql, &PostgreSqlDialect {}), "{}", sql);
        }
    }
}
