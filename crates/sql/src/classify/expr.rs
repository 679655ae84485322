//! Expressions.

use std::borrow::Cow;

use sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Subscript, WindowType,
};

use super::query::Walker;
use super::relation::resolved;
use crate::class::{Class, Why};

/// A name as the server folds it.
pub(super) fn folded(ident: &Ident) -> Cow<'_, str> {
    let plain =
        ident.quote_style.is_none() && ident.value.bytes().any(|byte| byte.is_ascii_uppercase());
    if plain { ident.value.to_ascii_lowercase().into() } else { ident.value.as_str().into() }
}

impl Walker<'_, '_> {
    #[expect(single_use_lifetimes, reason = "an elided lifetime in `impl Trait` is not stable yet")]
    pub(super) fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        exprs.into_iter().for_each(|expr| self.expr(expr));
    }

    /// Follows the left-most operand in a loop: chains such as `1 + 1 + …` or `x::int::int…` lean left and may be as long
    /// as a text; what nests to the right is bounded by the parser.
    pub(super) fn expr(&mut self, expr: &Expr) {
        let mut next = Some(expr);
        while let Some(expr) = next {
            next = self.operand(expr).or_else(|| {
                self.node(expr);
                None
            });
        }
    }

    fn pattern(&mut self, pattern: &Expr, escape: Option<&Expr>) {
        self.expr(pattern);
        self.exprs(escape);
    }

    /// For a node with a left-most operand: looks at its other parts and gives the operand.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other nodes are looked at by `node`")]
    fn operand<'e>(&mut self, expr: &'e Expr) -> Option<&'e Expr> {
        match expr {
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner) => Some(inner),
            Expr::UnaryOp { op: _, expr }
            | Expr::Collate { expr, collation: _ }
            | Expr::IsJson { expr, .. }
            | Expr::IsNormalized { expr, .. }
            | Expr::Extract { field: _, syntax: _, expr }
            | Expr::Ceil { expr, field: _ }
            | Expr::Floor { expr, field: _ } => Some(expr),
            Expr::BinaryOp { left, op: _, right }
            | Expr::IsDistinctFrom(left, right)
            | Expr::IsNotDistinctFrom(left, right)
            | Expr::AnyOp { left, compare_op: _, right, is_some: _ }
            | Expr::AllOp { left, compare_op: _, right }
            | Expr::AtTimeZone { timestamp: left, time_zone: right }
            | Expr::Position { expr: left, r#in: right } => {
                self.expr(right);
                Some(left)
            }
            Expr::Between { expr, negated: _, low, high } => {
                self.exprs([&**low, &**high]);
                Some(expr)
            }
            Expr::InList { expr, list, negated: _ } => {
                self.exprs(list);
                Some(expr)
            }
            Expr::InSubquery { expr, subquery, negated: _ } => {
                self.query(subquery);
                Some(expr)
            }
            Expr::Like { expr, pattern, escape_char, negated: _, any: _ }
            | Expr::ILike { expr, pattern, escape_char, negated: _, any: _ }
            | Expr::SimilarTo { expr, pattern, escape_char, negated: _ } => {
                self.pattern(pattern, escape_char.as_deref());
                Some(expr)
            }
            Expr::Cast { kind, expr, data_type, format } => {
                self.expect(
                    matches!(kind, CastKind::Cast | CastKind::DoubleColon) && format.is_none(),
                );
                self.data_type(data_type);
                Some(expr)
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                for access in access_chain {
                    self.access(access);
                }
                Some(root)
            }
            _ => None,
        }
    }

    /// For a node without a left-most operand: looks at all its parts.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a node that is not listed is not understood"
    )]
    fn node(&mut self, expr: &Expr) {
        match expr {
            // Names of columns; that `row.name` may be a call is looked at by token.
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => {}
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.expr(expr);
                self.exprs(substring_from.as_deref().into_iter().chain(substring_for.as_deref()));
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.expr(expr);
                self.exprs(
                    trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten()),
                );
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.exprs([&**expr, &**overlay_what, &**overlay_from]);
                self.exprs(overlay_for.as_deref());
            }
            Expr::TypedString(typed) => self.data_type(&typed.data_type),
            Expr::Function(function) => self.function(function),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.exprs(operand.as_deref().into_iter().chain(else_result.as_deref()));
                for when in conditions {
                    self.exprs([&when.condition, &when.result]);
                }
            }
            Expr::Exists { subquery, negated: _ } | Expr::Subquery(subquery) => {
                self.query(subquery);
            }
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                self.exprs(sets.iter().flatten());
            }
            Expr::Tuple(items) => self.exprs(items),
            Expr::Array(array) => self.exprs(&array.elem),
            Expr::Interval(interval) => self.expr(&interval.value),
            _ => self.not_understood(),
        }
    }

    fn access(&mut self, access: &AccessExpr) {
        match access {
            // A field; that it may be a call is looked at by token.
            AccessExpr::Dot(Expr::Identifier(_)) => {}
            AccessExpr::Dot(_) => self.not_understood(),
            AccessExpr::Subscript(Subscript::Index { index }) => self.expr(index),
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                self.exprs(lower_bound.iter().chain(upper_bound).chain(stride));
            }
        }
    }

    /// A call by name.
    pub(super) fn call(&mut self, name: &ObjectName) {
        if is_values(name) {
            return;
        }
        let Some((schema, name)) = resolved(name) else { return self.not_understood() };
        match &*name {
            // Their arguments decide, and the surface has looked at those.
            "set_config" | "current_setting"
                if schema.as_deref().is_none_or(|schema| schema == "pg_catalog") => {}
            name => self.found.uses(self.names.function(schema.as_deref(), name)),
        }
    }

    fn function(&mut self, function: &Function) {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            within_group,
            filter,
            null_treatment: _,
            over,
        } = function;
        self.expect(!uses_odbc_syntax && matches!(parameters, FunctionArguments::None));
        self.call(name);
        match args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => self.query(query),
            FunctionArguments::List(FunctionArgumentList {
                duplicate_treatment: _,
                args,
                clauses,
            }) => {
                self.arguments(args);
                for clause in clauses {
                    self.clause(clause);
                }
            }
        }
        self.order_keys(within_group);
        self.exprs(filter.as_deref());
        match over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
            Some(WindowType::NamedWindow(_)) | None => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a clause that is not listed is not understood"
    )]
    fn clause(&mut self, clause: &FunctionArgumentClause) {
        match clause {
            FunctionArgumentClause::OrderBy(keys) => self.order_keys(keys),
            FunctionArgumentClause::JsonNullClause(_) => {}
            FunctionArgumentClause::JsonReturningClause(returning) => {
                self.data_type(&returning.data_type);
            }
            _ => self.not_understood(),
        }
    }

    pub(super) fn arguments(&mut self, arguments: &[FunctionArg]) {
        for argument in arguments {
            let value = match argument {
                FunctionArg::Named { name: _, arg, operator: _ } | FunctionArg::Unnamed(arg) => arg,
                FunctionArg::ExprNamed { name, arg, operator: _ } => {
                    self.expr(name);
                    arg
                }
            };
            match value {
                FunctionArgExpr::Expr(expr) => self.expr(expr),
                FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::Wildcard => {}
                FunctionArgExpr::WildcardWithOptions(options) => self.wildcard(options),
            }
        }
    }

    /// A type that a value is turned into.
    pub(super) fn data_type(&mut self, of: &DataType) {
        let mut of = of;
        while let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = of {
            of = element;
        }
        if let DataType::Custom(name, _) = of {
            let Some((schema, name)) = resolved(name) else { return self.not_understood() };
            self.found.uses(self.names.type_name(schema.as_deref(), &name));
        } else if is_builtin(of) {
            self.found.uses(self.names.builtin_cast());
        } else {
            self.found.raise(Class::Write, Why::UnknownType);
        }
    }
}

/// `VALUES (1)` within an expression, which the parser takes for a call; a function of that name needs quotes.
fn is_values(name: &ObjectName) -> bool {
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)]
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("values"))
}

/// Types that PostgreSQL's grammar has words for.
const fn is_builtin(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Character(_)
            | DataType::Char(_)
            | DataType::CharacterVarying(_)
            | DataType::CharVarying(_)
            | DataType::Varchar(_)
            | DataType::Numeric(_)
            | DataType::Decimal(_)
            | DataType::Dec(_)
            | DataType::Float(_)
            | DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Real
            | DataType::DoublePrecision
            | DataType::Boolean
            | DataType::Time(..)
            | DataType::Timestamp(..)
            | DataType::Interval { .. }
            | DataType::JSON
            | DataType::Text
            | DataType::Bit(_)
            | DataType::BitVarying(_)
    )
}
