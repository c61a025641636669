"""The views there are. A new one is a folder and a line here."""

from projections.orders.view import OrdersView
from projections.public.view import PublicView
from projections.sales.view import SalesView
from projections.table_view import AnyView, TableView
from projections.view import Publishes, View

_ALL: tuple[AnyView, ...] = (OrdersView(), SalesView(), PublicView())
VIEWS: dict[str, AnyView] = {view.name: view for view in _ALL}
IN_POSTGRES: dict[str, View] = {view.name: view for view in _ALL if not isinstance(view, TableView)}
IN_TABLES: dict[str, TableView] = {view.name: view for view in _ALL if isinstance(view, TableView)}
REBUILDABLE: dict[str, AnyView] = {view.name: view for view in _ALL if not isinstance(view, Publishes)}
