"""Where tables and model versions are kept: Iceberg tables partitioned by day, and a store of model versions.

Importing this room loads neither pyiceberg nor pyarrow; the first call that needs them does.
"""

from ae_assets.lakehouse.models import ModelStore
from ae_assets.lakehouse.tables import Lakehouse
from ae_assets.lakehouse.writer import DayWriter

__all__ = ["DayWriter", "Lakehouse", "ModelStore"]
