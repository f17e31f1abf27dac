"""The project; importing it makes its Celery app the one that ``shared_task`` means."""

from project.celery import app as celery_app

__all__ = ("celery_app",)
