//! What stands in FROM.

use std::borrow::Cow;

use sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias, TableFactor,
    TableFunctionArgs, TableSample, TableSampleKind, TableSampleMethod, TableWithJoins,
};

use super::expr::folded;
use super::query::Walker;

/// The schema, if it is named, and the name of an object.
pub(super) fn resolved(name: &ObjectName) -> Option<(Option<Cow<'_, str>>, Cow<'_, str>)> {
    let mut parts = name.0.iter().rev().map(|part| match part {
        ObjectNamePart::Identifier(ident) => Some(folded(ident)),
        ObjectNamePart::Function(_) => None,
    });
    let name = parts.next()??;
    match parts.next() {
        None => Some((None, name)),
        Some(schema) => Some((Some(schema?), name)),
    }
}

impl Walker<'_, '_> {
    pub(super) fn table_with_joins(&mut self, table: &TableWithJoins) {
        let TableWithJoins { relation, joins } = table;
        self.factor(relation);
        for Join { relation, global, join_operator } in joins {
            self.expect(!global);
            self.factor(relation);
            self.join(join_operator);
        }
    }

    fn join(&mut self, operator: &JoinOperator) {
        let constraint = match operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint) => constraint,
            JoinOperator::Semi(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::Anti(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightAnti(_)
            | JoinOperator::CrossApply
            | JoinOperator::OuterApply
            | JoinOperator::AsOf { .. }
            | JoinOperator::StraightJoin(_)
            | JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => return self.not_understood(),
        };
        match constraint {
            JoinConstraint::On(expr) => self.expr(expr),
            JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a factor that is not listed is not understood"
    )]
    fn factor(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::Table { alias, sample, .. } => {
                self.table(factor);
                self.alias(alias.as_ref());
                self.sample(sample.as_ref());
            }
            TableFactor::Derived { lateral: _, subquery, alias, sample } => {
                self.query(subquery);
                self.alias(alias.as_ref());
                self.sample(sample.as_ref());
            }
            TableFactor::TableFunction { expr, alias } => {
                self.expr(expr);
                self.alias(alias.as_ref());
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality: _, alias } => {
                self.call(name);
                self.arguments(args);
                self.alias(alias.as_ref());
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.table_with_joins(table_with_joins);
                self.alias(alias.as_ref());
            }
            _ => self.not_understood(),
        }
    }

    /// A relation, or a function where arguments follow the name.
    fn table(&mut self, factor: &TableFactor) {
        let TableFactor::Table {
            name,
            alias: _,
            args,
            with_hints,
            version,
            with_ordinality: _,
            partitions,
            json_path,
            sample: _,
            index_hints,
        } = factor
        else {
            return self.not_understood();
        };
        self.expect(with_hints.is_empty() && version.is_none() && partitions.is_empty());
        self.expect(json_path.is_none() && index_hints.is_empty());
        match args {
            Some(TableFunctionArgs { args, settings }) => {
                self.expect(settings.is_none());
                self.call(name);
                self.arguments(args);
            }
            None => self.relation(name),
        }
    }

    fn relation(&mut self, name: &ObjectName) {
        let Some((schema, name)) = resolved(name) else { return self.not_understood() };
        let named_query =
            schema.is_none() && self.scopes.iter().flatten().any(|query| *query == name);
        if !named_query {
            self.found.uses(self.names.relation(schema.as_deref(), &name));
        }
    }

    pub(super) fn alias(&mut self, alias: Option<&TableAlias>) {
        let Some(TableAlias { explicit: _, name: _, columns, at }) = alias else { return };
        self.expect(at.is_none());
        columns
            .iter()
            .filter_map(|column| column.data_type.as_ref())
            .for_each(|of| self.data_type(of));
    }

    fn sample(&mut self, sample: Option<&TableSampleKind>) {
        let Some(
            TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample),
        ) = sample
        else {
            return;
        };
        // A seed is a literal: the parser takes nothing else there.
        let TableSample { modifier: _, name, quantity, seed: _, bucket, offset } = &**sample;
        let known = matches!(name, Some(TableSampleMethod::Bernoulli | TableSampleMethod::System));
        self.expect(known && bucket.is_none());
        self.exprs(quantity.as_ref().map(|quantity| &quantity.value).into_iter().chain(offset));
    }
}
