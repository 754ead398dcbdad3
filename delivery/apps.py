from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    name = "delivery"
    verbose_name = _("Delivery")

    def ready(self) -> None:
        from console import middleware, periodic, retention, supervisor
        from delivery.services import holding, schedules, supply, tracking_hosts

        middleware.other_names.append(tracking_hosts.names)
        retention.in_use.append(holding.waits_between)
        supervisor.ticks += [schedules.tick, supply.keep_supplied]
        periodic.add(
            check_domains=("delivery.jobs.check_domains", 1),
            go_on=("delivery.jobs.go_on", 1),
            fold_statistics=("delivery.jobs.fold_statistics", 1),
            tidy=("delivery.jobs.tidy", 1),
            make_partitions=("delivery.jobs.make_partitions", 60 * 12),
            prune=("delivery.jobs.prune", 60 * 12),
        )
