"""The views there are. A new one is a folder and a line here."""

from projections.orders.view import OrdersView
from projections.view import View

_ALL: tuple[View, ...] = (OrdersView(),)
VIEWS: dict[str, View] = {view.name: view for view in _ALL}
