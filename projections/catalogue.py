"""The views there are. A new one is a folder and a line here.

Those that publish have one generation for good: what they told is out, and making them anew would tell it again.
"""

from projections.orders.view import OrdersView
from projections.public.view import PublicView
from projections.sales.view import SalesView
from projections.table_view import AnyView, TableView
from projections.view import Publishes, View
from schemas.errors import BadInput

_ALL: tuple[AnyView, ...] = (OrdersView(), SalesView(), PublicView())
VIEWS: dict[str, AnyView] = {view.name: view for view in _ALL}
IN_POSTGRES: dict[str, View] = {view.name: view for view in _ALL if not isinstance(view, TableView)}
IN_TABLES: dict[str, TableView] = {view.name: view for view in _ALL if isinstance(view, TableView)}
REBUILDABLE: dict[str, AnyView] = {view.name: view for view in _ALL if not isinstance(view, Publishes)}


def refuse_published(name: str | None) -> None:
    """Raise BadInput when `name` is a view that publishes: it is neither rebuilt nor verified."""
    if name in VIEWS and name not in REBUILDABLE:
        raise BadInput(f"public events are told once: what {name} has told is out, and is neither rebuilt nor verified")
