//! A service that answers HTTP and nothing else is served there, and refused at once everywhere else.

use hullo::{Kind, Limits, Scope, Server};

use crate::{
    COLUMNS, Carries, Row, Says,
    common::{Folder, in_time, service},
};

pub(crate) async fn is_no_web_unless_it_is_http(row: Row) {
    for column in COLUMNS.iter().filter(|column| matches!(column.says, Says::Web)) {
        let what = format!("{} over {}", column.service, row.name);
        let folder = Folder::new();
        let at = folder.address(row.listen);
        let scope = Scope::on_cores(Limits::server(), None, Vec::new(), Some(folder.path().into()));
        let mut server = Server::new(scope);
        let listened = in_time(&what, server.listen(&at, service(column.service))).await;
        if row.carries == Carries::Exchanges {
            assert!(listened.is_ok(), "{what}: {}", listened.unwrap_err());
            continue;
        }
        let error = listened.expect_err(&what);
        let about = format!("cannot serve it on {}: it answers HTTP requests and nothing else", at.bare());
        assert_eq!((error.kind(), error.to_string()), (Kind::Usage, about), "{what}");
        assert!(server.addresses().is_empty(), "{what}");
    }
}
