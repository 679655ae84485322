//! Commands around queries, and those that only look as if they read.

use super::Generator;

const COMMANDS: &[&str] = &[
    "BEGIN READ ONLY",
    "START TRANSACTION READ ONLY , ISOLATION LEVEL REPEATABLE READ",
    "BEGIN",
    "BEGIN WORK READ ONLY DEFERRABLE",
    "BEGIN READ ONLY READ WRITE",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
    "COMMIT",
    "END",
    "ABORT",
    "ROLLBACK WORK AND CHAIN",
    "COMMIT AND NO CHAIN",
    "COMMIT PREPARED 'x'",
    "ROLLBACK PREPARED 'x'",
    "PREPARE TRANSACTION 'x'",
    "SAVEPOINT \"a\"",
    "ROLLBACK TO SAVEPOINT a",
    "ROLLBACK TO savepoint",
    "RELEASE a",
    "SET LOCAL x.y = 1",
    "SET LOCAL work_mem TO '1MB'",
    "SET x = 1",
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION READ WRITE",
    "SET LOCAL transaction_read_only = off",
    "SET CONSTRAINTS ALL DEFERRED",
    "SET LOCAL TIME ZONE 'UTC'",
    "FETCH c",
    "FETCH ALL FROM c",
    "FETCH BACKWARD 3 IN c",
    "MOVE NEXT FROM c",
    "FETCH ABSOLUTE -1 c",
    "CLOSE c",
    "CLOSE ALL",
    "SHOW x",
    "RESET ALL",
    "DISCARD ALL",
    "CHECKPOINT",
    "LOCK t",
    "LISTEN a",
    "UNLISTEN *",
    "NOTIFY a",
    "VACUUM",
    "COPY t TO STDOUT",
    "COPY t ( a , b ) TO STDOUT WITH ( FORMAT csv , HEADER )",
    "COPY t TO STDOUT CSV DELIMITER ','",
    "COPY BINARY t TO STDOUT",
    "COPY t TO STDIN",
    "COPY t FROM STDIN",
    "COPY t TO '/tmp/x'",
    "COPY t TO PROGRAM 'x'",
    "COPY cache TO STDOUT",
    "COPY t FROM STDOUT",
    "DEALLOCATE ALL",
    "EXECUTE p ( 1 )",
    "PREPARE p AS SELECT 1",
    "CALL p ( )",
    "DO 'x'",
    "TRUNCATE t",
    "LOAD 'x'",
    "CREATE TABLE x AS SELECT 1",
    "REFRESH MATERIALIZED VIEW v",
    "DROP TABLE t",
    "EXECUTE p",
    "ALTER SYSTEM SET a = 1",
    "REASSIGN OWNED BY a TO b",
    "CREATE FUNCTION f ( ) RETURNS int BEGIN ATOMIC SELECT 1 ; SELECT CASE WHEN true THEN 1 END ; END",
    "CREATE RULE r AS ON INSERT TO t DO ( SELECT 1 ; SELECT 2 )",
];

impl Generator<'_> {
    pub fn command(&mut self) {
        match self.rng.u32(0..10) {
            0 | 1 => self.explain(),
            2 => {
                self.put("COPY");
                self.in_parens(|of| if of.strays() { of.modification() } else { of.query() });
                self.put("TO STDOUT");
                self.maybe(3, "WITH ( FORMAT csv )");
            }
            3 => {
                self.put("DECLARE");
                self.put_one(&["c", "\"C\"", "cursor"]);
                self.put_one(&["", "BINARY", "NO SCROLL", "INSENSITIVE SCROLL"]);
                self.put("CURSOR");
                self.put_one(&["", "", "WITHOUT HOLD", "WITH HOLD"]);
                self.put("FOR");
                self.query();
            }
            4 => self.modification(),
            _ => self.put_one(COMMANDS),
        }
    }

    fn explain(&mut self) {
        self.put("EXPLAIN");
        self.put_one(&[
            "ANALYZE",
            "ANALYZE VERBOSE",
            "( ANALYZE )",
            "( ANALYZE on , BUFFERS )",
            "( VERBOSE , ANALYZE true )",
            "",
            "( ANALYZE false )",
            "( COSTS off , ANALYZE 1 )",
        ]);
        if self.one_in(10) { self.modification() } else { self.query() }
    }
}
