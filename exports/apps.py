from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ExportsConfig(AppConfig):
    name = "exports"
    verbose_name = _("Exports")

    def ready(self) -> None:
        from console import forgetting, periodic, supervisor
        from exports import jobs, tidying

        supervisor.ticks.append(jobs.keep_supplied)
        forgetting.forgetters.append(tidying.forget)
        periodic.add(tidy_exports=("exports.jobs.tidy", 10))
